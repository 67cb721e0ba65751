-- Senders and pools of them; what accounts set for countries.

-- name: senders
select id, account_id, mode, kind, value, enabled, spec, version, created_at, updated_at from senders order by id

-- name: sender_rules
select account_id, mode, country, spec from sender_rules

-- name: insert_sender
-- rows: id int, account_id int, mode int, kind text, value text, enabled int, spec text, at int
insert into senders (id, account_id, mode, kind, value, enabled, spec, created_at, updated_at)
select id, account_id, mode, kind, value, enabled, spec, at, at from {rows} r where true
on conflict do nothing
returning id

-- Only what is still as it was read.
-- name: update_sender
-- rows: id int, version int, value text, enabled int, spec text, at int
-- once: id
update senders set value = r.value, enabled = r.enabled, spec = r.spec, version = senders.version + 1, updated_at = r.at
from {rows} r where senders.id = r.id and senders.version = r.version
returning senders.id

-- name: delete_sender
-- rows: id int
delete from senders where id in (select id from {rows} r)

-- name: set_rule
-- rows: account_id int, mode int, country text, spec text, at int
-- once: account_id, mode, country
insert into sender_rules (account_id, mode, country, spec, updated_at)
select account_id, mode, country, spec, at from {rows} r where true
on conflict (account_id, mode, country) do update set spec = excluded.spec, updated_at = excluded.updated_at

-- name: drop_rule
-- rows: account_id int, mode int, country text
delete from sender_rules where exists (
  select 1 from {rows} r
  where r.account_id = sender_rules.account_id and r.mode = sender_rules.mode and r.country = sender_rules.country)
