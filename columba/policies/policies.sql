-- name: policies
select account_id, mode, room, data from policies

-- name: set_policy
-- rows: account_id int, mode int, room text, data text, at int
insert into policies (account_id, mode, room, data, updated_at)
select account_id, mode, room, data, at from {rows} r where true
on conflict (account_id, mode, room) do update set data = excluded.data, updated_at = excluded.updated_at

-- name: drop_policy
-- rows: account_id int, mode int, room text
delete from policies where exists (
  select 1 from {rows} r
  where r.account_id = policies.account_id and r.mode = policies.mode and r.room = policies.room)
