"""IAM and STS: users, groups, roles, policies and sessions of accounts, by Amazon's query API. Pure decisions."""
