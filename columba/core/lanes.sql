-- Leases. A process keeps one beat, on the database's clock; a lane belongs to its process while that beats. On SQLite, with
-- one process, a beat from the future is one from before the clock was set back.

-- name: join
-- rows: token text
update nodes set token = (select token from {rows} r), beat = {now}
where n = (select n from nodes where beat < {now} - 60000 order by beat, n limit 1 {skip_locked})
returning nodes.n

-- name: beat
-- rows: n int, token text
update nodes set beat = {now} where n = (select n from {rows} r) and token = (select token from {rows} r)
returning nodes.n

-- The number rests for a while before another process gets it: its last ids are a moment old.
-- name: leave
-- rows: n int, token text
update nodes set beat = {now} - 30000 where n = (select n from {rows} r) and token = (select token from {rows} r)

-- name: peers
-- rows: within int
select token from nodes where beat > {now} - (select within from {rows} r)
-- only sqlite
  and beat < {now} + (select within from {rows} r)
-- end

-- name: claim_lanes
-- rows: id int, token text, within int
-- once: id
insert into lanes (id, token, epoch)
select id, token, 1 from {rows} r where true
on conflict (id) do update set token = excluded.token, epoch = lanes.epoch + 1
  where lanes.token = excluded.token or not exists (
    select 1 from nodes where nodes.token = lanes.token and nodes.beat > {now} - (select max(within) from {rows} r)
-- only sqlite
      and nodes.beat < {now} + (select max(within) from {rows} r)
-- end
  )
returning id, epoch, token

-- After a pause: which of our lanes nobody else has taken.
-- name: still_ours
-- rows: id int, epoch int, token text
-- gives: id
select lanes.id from {rows} r join lanes on lanes.id = r.id and lanes.epoch = r.epoch and lanes.token = r.token

-- name: release_lanes
-- rows: id int, token text
update lanes set token = '' where exists (select 1 from {rows} r where r.id = lanes.id and r.token = lanes.token)
