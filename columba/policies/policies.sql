-- name: policies
select account_id, mode, room, data from policies

-- name: policy
select data, version from policies where account_id = :account_id and mode = :mode and room = :room

-- Only over the version that it was made from; 0 is none. A row is never deleted, so that its version never comes again.
-- name: set_policy
-- rows: account_id int, mode int, room text, data text, was int, at int
-- once: account_id, mode, room
insert into policies (account_id, mode, room, data, version, updated_at)
select account_id, mode, room, data, was + 1, at from {rows} r where true
on conflict (account_id, mode, room) do update
set data = excluded.data, version = excluded.version, updated_at = excluded.updated_at
where policies.version = excluded.version - 1
returning policies.account_id, policies.mode, policies.room
