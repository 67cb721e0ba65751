-- Configured carriers, what waits on their lanes, and how their sessions are.

-- name: carriers
select id, account_id, mode, name, kind, config, secrets, rate, window_size, lanes, most_lanes, on_unknown, state,
  revision, version, created_at, updated_at
from carriers order by id

-- name: insert_carrier
-- rows: id int, account_id int, mode int, name text, kind text, config text, secrets text, rate float, window_size int
-- rows: lanes int, most_lanes int, on_unknown text, state text, at int
insert into carriers (id, account_id, mode, name, kind, config, secrets, rate, window_size, lanes, most_lanes,
  on_unknown, state, created_at, updated_at)
select id, account_id, mode, name, kind, config, secrets, rate, window_size, lanes, most_lanes, on_unknown, state, at, at
from {rows} r

-- Only what is still as it was read.
-- name: update_carrier
-- rows: id int, version int, name text, config text, secrets text, rate float, window_size int, lanes int
-- rows: most_lanes int, on_unknown text, state text, revision int, at int
-- once: id
update carriers set name = r.name, config = r.config, secrets = r.secrets, rate = r.rate, window_size = r.window_size,
  lanes = r.lanes, most_lanes = r.most_lanes, on_unknown = r.on_unknown, state = r.state, revision = r.revision,
  version = carriers.version + 1, updated_at = r.at
from {rows} r where carriers.id = r.id and carriers.version = r.version and carriers.state <> 'deleted'
returning carriers.id

-- Its secrets go at once, its row once nothing waits on its lanes.
-- name: delete_carrier
-- rows: id int, forced int, at int
-- once: id
update carriers set state = 'deleted', config = '{}', secrets = null, version = carriers.version + 1, updated_at = r.at
from {rows} r where carriers.id = r.id and carriers.state <> 'deleted' and (r.forced = 1 or not exists (
  select 1 from messages m where m.lane >= r.id and m.lane < r.id + 64 and m.status in (10, 20)))
returning carriers.id

-- name: sweep_carriers
-- rows: before int
delete from carriers
where state = 'deleted' and updated_at < (select before from {rows} r) and not exists (
  select 1 from messages m where m.lane >= carriers.id and m.lane < carriers.id + 64 and m.status in (10, 20))
returning carriers.id

-- name: sweep_states
-- rows: id int
delete from carrier_states
where exists (select 1 from {rows} r where carrier_states.lane >= r.id and carrier_states.lane < r.id + 64)

-- How much waits; beyond a hundred thousand it isn't counted on.
-- name: waiting
-- rows: id int
select r.id, (
  select count(*) from (
    select 1 from messages m where m.lane >= r.id and m.lane < r.id + 64 and m.status in (10, 20) limit 100000) w)
from {rows} r

-- name: write_states
-- rows: lane int, token text, up int, why text, since int, flying int, error text, carrier_code text, error_at int
insert into carrier_states (lane, token, up, why, since, flying, error, carrier_code, error_at)
select lane, token, up, why, since, flying, error, carrier_code, error_at from {rows} r where true
on conflict (lane) do update set token = excluded.token, up = excluded.up, why = excluded.why, since = excluded.since,
  flying = excluded.flying, error = excluded.error, carrier_code = excluded.carrier_code, error_at = excluded.error_at

-- What the owners of lanes say, as far as they live and have them still.
-- name: states
-- rows: id int
select s.lane, s.up, s.why, s.since, s.flying, s.error, s.carrier_code, s.error_at
from {rows} r
join carrier_states s on s.lane >= r.id and s.lane < r.id + 64
join lanes l on l.id = s.lane and l.token = s.token
join nodes n on n.token = s.token and n.beat > {now} - 6000

-- name: pending
select m.id, m.to_addr from messages m where m.lane = :lane and m.status in (10, 20) limit :most

-- name: move_messages
-- rows: lane int, id int, new_lane int
update messages set lane = r.new_lane from {rows} r
where messages.id = r.id and messages.lane = r.lane and messages.status in (10, 20)
