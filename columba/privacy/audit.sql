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
-- once: account_id
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

-- name: audit_begin
select n, hash, seal from audit_begins where account_id = :account_id

-- name: move_begin
-- rows: account_id int, was int, n int, hash text, seal text
insert into audit_begins (account_id, n, hash, seal) select account_id, n, hash, seal from {rows} r where true
on conflict (account_id) do update set n = excluded.n, hash = excluded.hash, seal = excluded.seal
  where audit_begins.n < excluded.n
returning account_id

-- name: sweep_audit
-- rows: account_id int, was int, n int, hash text, seal text
delete from audit where (account_id, n) in (
  select a.account_id, a.n from {rows} r join audit a on a.account_id = r.account_id and a.n > r.was and a.n <= r.n)

-- What commands have done in the store itself, held to the change having been made: its first column is what was changed.
-- name: leave_audit
-- rows: subject int, id int, account_id int, mode int, at int, entry text
insert into audit_left (id, account_id, mode, at, entry) select id, account_id, mode, at, entry from {rows} r

-- name: audit_left
select account_id, id, mode, at, entry from audit_left order by id limit :most

-- name: count_left
select count(*) from audit_left where account_id = :account_id

-- Held to the accounts whose chains have moved.
-- name: drop_left
-- rows: account_id int, id int
delete from audit_left where id in (select id from {rows} r)
