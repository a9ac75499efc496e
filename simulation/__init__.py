"""What the market's rules are worth to everybody, honest or not: the rules, adversaries, and what each one makes."""
