-- name: audit_heads
-- rows: account_id int
select h.account_id, h.n, h.hash from {rows} r join audit_heads h on h.account_id = r.account_id

-- name: begin_heads
-- rows: account_id int
insert into audit_heads (account_id, n, hash) select account_id, 0, '' from {rows} r where true order by account_id
on conflict do nothing

-- Only from where we know it: another process may have gone on meanwhile.
-- name: advance_heads
-- rows: account_id int, was_n int, was text, n int, hash text
update audit_heads set n = r.n, hash = r.hash from {rows} r
where audit_heads.account_id = r.account_id and audit_heads.n = r.was_n and audit_heads.hash = r.was
returning audit_heads.account_id

-- name: insert_audit
-- rows: account_id int, n int, mode int, at int, entry text, hash text
insert into audit (account_id, n, mode, at, entry, hash) select account_id, n, mode, at, entry, hash from {rows} r

-- name: audit_page
select n, at, entry, hash from audit
where account_id = :account_id and mode = :mode and n < :before and at >= :since and at < :until
  and (entry like :pattern or :pattern = '')
order by n desc limit :most

-- name: audit_chain
select n, mode, at, entry, hash from audit where account_id = :account_id and n > :after order by n limit :most

-- name: audit_accounts
select account_id, n, hash from audit_heads order by account_id
