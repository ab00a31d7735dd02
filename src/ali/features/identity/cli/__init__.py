"""`ali organizations`, `projects`, `users`, `roles` and `audit`: administration for who sits at the installation."""
