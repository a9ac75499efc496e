"""What people see: pages that are whole without scripts and without a wallet. Rows in, HTML out."""
