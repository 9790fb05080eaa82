"""What staff can do, one module per action: a form, a preview, a permission, one operation, a log entry."""
