"""A provider: bids for jobs, trains them in the sandbox, submits sealed weights, and is paid for a measured score.

decide   bidding  duties  record  config            pure
act      making ─▶ delivering  work                 one method for each step of `duties.Step`
reach    book  materials  training  chores  tools   chain, stores, sandbox, threads
run      node  assembly                             the cycle, and what it is built of
speak    cli  configuring  checking  running  paying  showing  ending
"""
