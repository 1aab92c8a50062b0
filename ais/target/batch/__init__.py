"""Many objects in one answer (get-batch): each target reads what it owns, one puts it in order and sends it."""
