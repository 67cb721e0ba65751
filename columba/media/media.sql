-- What is kept for messages. States and origins are those of columba/store/migrations/0003_media.sql.

-- As long as the account's quota takes it; of several that come at once, the first ones.
-- name: insert_media
-- rows: id int, account_id int, mode int, origin int, state int, name text, content_type text, size int, digest text
-- rows: due_at int, at int, quota int
insert into media (id, account_id, mode, origin, state, name, content_type, size, digest, due_at, updated_at)
select r.id, r.account_id, r.mode, r.origin, r.state, r.name, r.content_type, r.size, r.digest, r.due_at, r.at
from (select r.*, sum(r.size) over (partition by r.account_id order by r.id) as running from {rows} r) r
where r.quota = 0 or r.running <= r.quota - coalesce(
  (select u.bytes from media_use u where u.account_id = r.account_id), 0)
returning id

-- name: count_media
-- rows: id int, account_id int, size int
insert into media_use (account_id, bytes, files)
select account_id, sum(size), count(*) from {rows} r where true group by account_id
on conflict (account_id) do update set bytes = media_use.bytes + excluded.bytes, files = media_use.files + excluded.files

-- name: media_ready
-- rows: id int, at int
update media set state = 1, updated_at = r.at from {rows} r where media.id = r.id and media.state = 0
returning media.id

-- What came with texts from people: the row's first column is the message's id.
-- name: insert_received
-- rows: message_id int, id int, account_id int, mode int, name text, source text, carrier_id int, at int
insert into media (id, account_id, mode, origin, state, used, name, source, carrier_id, message_id, due_at, updated_at)
select id, account_id, mode, 2, 2, 1, name, source, carrier_id, message_id, at, at from {rows} r

-- name: insert_uses
-- rows: message_id int, media_id int
insert into message_media (message_id, media_id) select message_id, media_id from {rows} r where true
on conflict do nothing

-- name: set_extra
-- rows: message_id int, extra text
update bodies set extra = r.extra from {rows} r where bodies.message_id = r.message_id

-- What of a message's media is not there, in the transaction that accepts it: deleted since it was looked up.
-- name: refuse_missing
-- rows: ref int, message_id int, account_id int, mode int, media text
-- gives: ref, message_id, code
select r.ref, r.message_id, 'invalid_request' as code from {rows} r
-- only sqlite
where exists (select 1 from json_each(r.media) j where not exists (
  select 1 from media m where m.id = j.value and m.account_id = r.account_id and m.mode = r.mode and m.state in (1, 2)))
-- end
-- only postgres
where exists (select 1 from jsonb_array_elements_text(r.media::jsonb) j where not exists (
  select 1 from media m
  where m.id = j::bigint and m.account_id = r.account_id and m.mode = r.mode and m.state in (1, 2)))
-- end

-- name: use_media
-- rows: message_id int, media text
insert into message_media (message_id, media_id)
-- only sqlite
select distinct r.message_id, j.value from {rows} r join json_each(r.media) j where true
-- end
-- only postgres
select distinct r.message_id, j::bigint from {rows} r cross join jsonb_array_elements_text(r.media::jsonb) j
-- end
on conflict do nothing

-- name: names
-- rows: id int, account_id int, mode int
select m.id, m.name from {rows} r join media m on m.id = r.id
where m.account_id = r.account_id and m.mode = r.mode and m.state in (1, 2)

-- name: media
select id, account_id, mode, origin, state, name, content_type, size, digest, message_id, attempts, due_at, error,
  updated_at
from media m where m.id = :id and m.state <> 4

-- name: list_media
select id, account_id, mode, origin, state, name, content_type, size, digest, message_id, attempts, due_at, error,
  updated_at
from media m
where m.account_id = :account_id and m.mode = :mode and m.id < :before and m.state in (1, 2, 3)
  and (m.origin = :origin or :origin < 0)
order by m.id desc limit :most

-- name: media_of_message
select m.id, m.account_id, m.mode, m.origin, m.state, m.name, m.content_type, m.size, m.digest, m.message_id, m.attempts,
  m.due_at, m.error, m.updated_at
from message_media x join media m on m.id = x.media_id
where x.message_id = :message_id and m.account_id = :account_id and m.mode = :mode and m.id < :before
  and m.state in (1, 2, 3)
order by m.id desc limit :most

-- name: usage
select bytes, files from media_use u where u.account_id = :account_id

-- By request: not while a message that has not left needs it.
-- name: discard
-- rows: id int, at int
-- once: id
update media set state = 4, due_at = r.at, updated_at = r.at from {rows} r
where media.id = r.id and media.state <> 4 and not exists (
  select 1 from message_media x join messages m on m.id = x.message_id
  where x.media_id = media.id and m.status in (10, 20))
returning media.id

-- With a message: what no other message uses.
-- name: discard_of_messages
-- rows: message_id int, at int
update media set state = 4, due_at = y.at, updated_at = y.at, source = null
from (select x.media_id, max(r.at) as at from {rows} r join message_media x on x.message_id = r.message_id
  where not exists (
    select 1 from message_media o where o.media_id = x.media_id and o.message_id <> x.message_id)
  group by x.media_id) y
where media.id = y.media_id and media.state <> 4

-- What was told of them, which names files and leads to them.
-- name: discard_attempts
-- rows: message_id int, at int
delete from attempts where (endpoint_id, event_id) in (
  select d.endpoint_id, d.event_id from {rows} r join message_media x on x.message_id = r.message_id
  join events e on e.subject = x.media_id join deliveries d on d.event_id = e.id
  where not exists (select 1 from message_media o where o.media_id = x.media_id and o.message_id <> x.message_id))

-- name: discard_deliveries
-- rows: message_id int, at int
delete from deliveries where event_id in (
  select e.id from {rows} r join message_media x on x.message_id = r.message_id join events e on e.subject = x.media_id
  where not exists (select 1 from message_media o where o.media_id = x.media_id and o.message_id <> x.message_id))

-- name: discard_events
-- rows: message_id int, at int
delete from events where id in (
  select e.id from {rows} r join message_media x on x.message_id = r.message_id join events e on e.subject = x.media_id
  where not exists (select 1 from message_media o where o.media_id = x.media_id and o.message_id <> x.message_id))

-- name: delete_uses
-- rows: message_id int, at int
delete from message_media where message_id in (select r.message_id from {rows} r)

-- name: unused
select id from media m where m.state = 1 and m.used = 0 and m.id < :before and not exists (
  select 1 from message_media x where x.media_id = m.id)
order by m.id limit :most

-- name: note_used
-- rows: before int
update media set used = 1 from {rows} r
where media.state = 1 and media.used = 0 and media.id < r.before and exists (
  select 1 from message_media x where x.media_id = media.id)

-- Nobody knows whether its bytes were written: it was given up.
-- name: abandoned
select id from media m where m.state = 0 and m.due_at <= :now order by m.due_at limit :most

-- name: abandon
-- rows: id int, at int
update media set state = 4, due_at = r.at, updated_at = r.at from {rows} r where media.id = r.id and media.state in (0, 1)
  and not exists (select 1 from message_media x where x.media_id = media.id)
returning media.id

-- name: to_delete
select id, account_id, size from media m where m.state = 4 and m.due_at <= :now order by m.due_at limit :most

-- One that can't be deleted now is tried again later, by whoever comes.
-- name: claim_deletes
-- rows: id int, now int, until int
-- once: id
update media set due_at = r.until from {rows} r where media.id = r.id and media.state = 4 and media.due_at <= r.now
returning media.id

-- name: delete_media
-- rows: id int
delete from media where state = 4 and id in (select r.id from {rows} r)
returning id, account_id, size

-- name: uncount_media
-- rows: id int, account_id int, size int
update media_use set bytes = media_use.bytes - r.bytes, files = media_use.files - r.files
from (select account_id, sum(size) as bytes, sum(case when size > 0 then 1 else 0 end) as files from {rows} r
  group by account_id) r
where media_use.account_id = r.account_id

-- name: delete_media_uses
-- rows: id int
delete from message_media where media_id in (select r.id from {rows} r)

-- Fetching what came with texts.
-- The carriers of the rows have enough under way.
-- name: to_fetch
-- rows: carrier_id int
select id, carrier_id from media m
where m.state = 2 and m.due_at <= :now and m.carrier_id not in (select r.carrier_id from {rows} r)
order by m.due_at limit :most

-- The next try is put off before this one begins: a crash can't loop, and no other process takes it meanwhile.
-- name: claim_fetch
-- rows: id int, now int, until int
-- once: id
update media set due_at = r.until, attempts = media.attempts + 1 from {rows} r
where media.id = r.id and media.state = 2 and media.due_at <= r.now
returning media.id

-- name: fetching
-- rows: id int
select m.id, m.account_id, m.mode, m.name, m.source, m.carrier_id, m.message_id, m.attempts
from {rows} r join media m on m.id = r.id where m.state = 2

-- The account's quota holds for what comes in too.
-- name: fetched
-- rows: id int, account_id int, name text, content_type text, size int, digest text, at int, quota int
-- once: id
update media set state = 1, name = r.name, content_type = r.content_type, size = r.size, digest = r.digest,
  source = null, error = null, updated_at = r.at
from (select r.*, sum(r.size) over (partition by r.account_id order by r.id) as running from {rows} r) r
where media.id = r.id and media.state = 2 and (r.quota = 0 or r.running <= r.quota - coalesce(
  (select u.bytes from media_use u where u.account_id = r.account_id), 0))
returning media.id

-- name: not_fetched
-- rows: id int, state int, due_at int, error text, at int
-- once: id
update media set state = r.state, due_at = r.due_at, error = r.error, updated_at = r.at
from {rows} r where media.id = r.id and media.state = 2
returning media.id

-- name: fetch_again
-- rows: id int, at int
-- once: id
update media set state = 2, due_at = r.at, attempts = 0, updated_at = r.at
from {rows} r where media.id = r.id and media.state = 3 and media.source is not null
returning media.id
