"""The program `authn`: users, roles and tokens for clusters, as AIStore's AuthN serves them (`wire.md` §13.8, §28)."""
