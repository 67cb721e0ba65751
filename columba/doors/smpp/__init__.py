"""The SMPP server: programs bind with a login of one of their account's keys, submit, and are told what became of it.

`logins` knows who may bind, `server` listens and lets in, `bind` is one session, `submit` reads what it submits, `joining`
puts the parts of long texts together, `asking` answers about messages, `handing` is the job kind that hands receipts and
inbound texts to who is bound, `words` writes them.
"""
