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
update keys set revoked_at = r.at, previous_hash = null from {rows} r where keys.id = r.id and keys.revoked_at is null
returning keys.id

-- name: rotate_key
-- rows: id int, secret_hash text, hint text, previous_until int
update keys set previous_hash = keys.secret_hash, previous_until = r.previous_until, secret_hash = r.secret_hash,
  hint = r.hint
from {rows} r where keys.id = r.id and keys.revoked_at is null
returning keys.id

-- name: update_key
-- rows: id int, name text, scopes text, settings text, expires_at int
update keys set name = r.name, scopes = r.scopes, settings = r.settings, expires_at = r.expires_at
from {rows} r where keys.id = r.id returning keys.id

-- name: accounts
select id, name, settings, created_at from accounts order by id

-- Only one account is made at the first start, however many processes start.
-- name: first_account
-- rows: id int, name text, at int
insert into accounts (id, name, created_at)
select id, name, at from {rows} r where not exists (select 1 from accounts)
returning id
