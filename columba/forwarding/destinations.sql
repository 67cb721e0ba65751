-- Destinations, what their tokens are, and the secrets of accounts.

-- name: destinations
select id, account_id, mode, name, description, preset, enabled, spec, secrets, version, created_at, updated_at
from destinations order by id

-- name: insert_destination
-- rows: id int, account_id int, mode int, name text, description text, preset text, enabled int, spec text, secrets text
-- rows: at int
insert into destinations (id, account_id, mode, name, description, preset, enabled, spec, secrets, version, created_at,
  updated_at)
select id, account_id, mode, name, description, preset, enabled, spec, secrets, 1, at, at from {rows} r

-- Only what is still as it was read.
-- name: update_destination
-- rows: id int, version int, name text, description text, enabled int, spec text, secrets text, at int
-- once: id
update destinations set name = r.name, description = r.description, enabled = r.enabled, spec = r.spec,
  secrets = r.secrets, version = destinations.version + 1, updated_at = r.at
from {rows} r where destinations.id = r.id and destinations.version = r.version
returning destinations.id

-- name: delete_destination
-- rows: id int
delete from destinations where id in (select id from {rows} r)

-- name: delete_token
-- rows: id int
delete from destination_tokens where destination_id in (select id from {rows} r)

-- name: token
select token from destination_tokens where destination_id = :id

-- name: keep_token
-- rows: id int, token text, at int
insert into destination_tokens (destination_id, token, updated_at)
select r.id, r.token, r.at from {rows} r join destinations d on d.id = r.id where true
on conflict (destination_id) do update set token = excluded.token, updated_at = excluded.updated_at

-- name: secrets
select account_id, mode, name, value, created_at, updated_at from vault_secrets order by account_id, mode, name

-- name: insert_secret
-- rows: name text, account_id int, mode int, value text, at int
insert into vault_secrets (account_id, mode, name, value, created_at, updated_at)
select account_id, mode, name, value, at, at from {rows} r where true
on conflict do nothing
returning name

-- name: update_secret
-- rows: name text, account_id int, mode int, value text, at int
update vault_secrets set value = r.value, updated_at = r.at
from {rows} r where vault_secrets.account_id = r.account_id and vault_secrets.mode = r.mode and vault_secrets.name = r.name

-- name: delete_secret
-- rows: name text, account_id int, mode int
delete from vault_secrets where exists (
  select 1 from {rows} r
  where r.account_id = vault_secrets.account_id and r.mode = vault_secrets.mode and r.name = vault_secrets.name)
