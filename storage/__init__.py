"""What is kept: tables, migrations, the codec, and transactions over them."""
