-- name: keys
select id, account_id, mode, name, secret_hash, hint, scopes, settings, created_at, expires_at, revoked_at,
  previous_hash, previous_until
from keys order by id

-- name: insert_key
-- rows: id int, account_id int, mode int, name text, secret_hash text, hint text, scopes text, settings text, created_at int, expires_at int
insert into keys (id, account_id, mode, name, secret_hash, hint, scopes, settings, created_at, expires_at)
select id, account_id, mode, name, secret_hash, hint, scopes, settings, created_at, expires_at from {rows} r
returning id

-- name: revoke_key
-- rows: id int, at int
-- once: id
update keys set revoked_at = r.at, previous_hash = null from {rows} r where keys.id = r.id and keys.revoked_at is null
returning keys.id

-- name: rotate_key
-- rows: id int, secret_hash text, hint text, previous_until int
-- once: id
update keys set previous_hash = keys.secret_hash, previous_until = r.previous_until, secret_hash = r.secret_hash,
  hint = r.hint
from {rows} r where keys.id = r.id and keys.revoked_at is null
returning keys.id

-- What is null stays as it is; an expiry may be set to null, so it has its own word.
-- name: update_key
-- rows: id int, name text, scopes text, settings text, expiry int, expires_at int
-- once: id
update keys set name = coalesce(r.name, keys.name), scopes = coalesce(r.scopes, keys.scopes),
  settings = coalesce(r.settings, keys.settings),
  expires_at = case when r.expiry = 1 then r.expires_at else keys.expires_at end
from {rows} r where keys.id = r.id and keys.revoked_at is null
returning keys.id

-- name: accounts
select id, name, settings, created_at from accounts order by id

-- Only one account is made at the first start, however many processes start.
-- name: first_account
-- rows: id int, name text, at int
insert into accounts (id, name, created_at)
select id, name, at from {rows} r where not exists (select 1 from accounts)
returning id

-- Idempotency-Keys of the API: the first of those that come at once with the same key; in the keys' order, so that
-- processes don't lock each other out. An answer that has not come within a minute is no longer waited for.
-- name: claim_repeat
-- rows: ref int, account_id int, mode int, key text, body_hash text, at int
insert into idempotency (ref, account_id, mode, key, body_hash, created_at)
select ref, account_id, mode, key, body_hash, at
from (select r.*, row_number() over (partition by account_id, mode, key order by ref) as nth from {rows} r) r
where nth = 1 order by account_id, mode, key
on conflict (account_id, mode, key) do update set ref = excluded.ref, body_hash = excluded.body_hash, status = null,
  answer = null, created_at = excluded.created_at
  where idempotency.created_at <= excluded.created_at - 86400000
    or (idempotency.status is null and idempotency.created_at <= excluded.created_at - 60000)
returning ref

-- name: find_repeat
select body_hash, status, answer from idempotency
where account_id = :account_id and mode = :mode and key = :key and created_at > :since

-- name: finish_repeat
-- rows: ref int, account_id int, mode int, key text, status int, answer text
update idempotency set status = r.status, answer = r.answer from {rows} r
where idempotency.account_id = r.account_id and idempotency.mode = r.mode and idempotency.key = r.key
  and idempotency.ref = r.ref

-- name: abandon_repeat
-- rows: ref int, account_id int, mode int, key text
delete from idempotency where (account_id, mode, key, ref) in (select account_id, mode, key, ref from {rows} r)

-- name: sweep_repeats
-- rows: before int, most int
delete from idempotency where (account_id, mode, key) in (
  select i.account_id, i.mode, i.key from idempotency i where i.created_at <= (select min(before) from {rows} r)
  order by i.created_at limit (select min(most) from {rows} r) {skip_locked})
returning ref
