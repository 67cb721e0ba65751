-- name: count_content
-- rows: account_id int, mode int, day int, what text, reason text, n int
insert into content_counts (account_id, mode, day, what, reason, n)
select account_id, mode, day, what, reason, n from {rows} r where true
on conflict (account_id, mode, day, what, reason) do update set n = content_counts.n + excluded.n

-- name: counts
select what, reason, cast(sum(n) as bigint) from content_counts
where account_id = :account_id and mode = :mode and day >= :since group by what, reason order by 3 desc, 1, 2

-- name: sweep_counts
-- rows: before int
delete from content_counts where day < (select before from {rows} r)

-- name: outcomes
-- What became of messages, by the carrier that had them.
select carrier_id, status, error, carrier_code, cast(count(*) as bigint)
from (
  select (m.lane / 64) * 64 as carrier_id, m.status, m.error, m.carrier_code
  from messages m
  where m.account_id = :account_id and m.mode = :mode and m.status in (51, 52) and m.id >= :since
    and (m.carrier_code is not null or m.error not in ('opted_out', 'not_approved'))
  order by m.id desc limit 200000) ended
group by carrier_id, status, error, carrier_code order by 5 desc

-- name: filtered_texts
select m.id, (m.lane / 64) * 64, m.class, b.text from messages m join bodies b on b.message_id = m.id
where m.account_id = :account_id and m.mode = :mode and m.status in (51, 52) and m.id >= :since
  and m.error = 'filtered' and b.text is not null
order by m.id desc limit :most

-- name: held
select m.id from messages m
where m.account_id = :account_id and m.mode = :mode and m.status = 10 and m.due_at >= :held and m.id < :before
order by m.id desc limit :most

-- name: held_of_batch
select m.id from messages m
where m.batch_id = :batch_id
-- only sqlite
  and +m.account_id = :account_id and +m.mode = :mode
-- end
-- only postgres
  and m.account_id = :account_id and m.mode = :mode
-- end
  and m.status = 10 and m.due_at >= :held and m.id < :before
order by m.id desc limit :most

-- name: release_held
-- rows: id int, held int, due_at int, expires_at int, at int
-- once: id
update messages set due_at = r.due_at, expires_at = r.expires_at, updated_at = r.at
from {rows} r where messages.id = r.id and messages.status = 10 and messages.due_at >= r.held
returning messages.id

-- name: set_extra
-- rows: message_id int, extra text
update bodies set extra = r.extra from {rows} r where bodies.message_id = r.message_id

-- name: reject_held
-- rows: id int, held int, status int, at int, event_id int, error text
-- once: id
update messages set status = r.status, updated_at = r.at, last_event = r.event_id, error = r.error
from {rows} r where messages.id = r.id and messages.status = 10 and messages.due_at >= r.held
returning messages.id
