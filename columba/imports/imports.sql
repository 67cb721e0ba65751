-- name: insert_import
-- rows: id int, account_id int, mode int, kind text, name text, defaults text, at int
insert into imports (id, account_id, mode, kind, name, defaults, state, created_at, updated_at)
select id, account_id, mode, kind, name, defaults, 'waiting', at, at from {rows} r

-- name: claim_import
-- rows: id int, at int, stale int
-- once: id
update imports set state = 'running', error = null, updated_at = r.at
from {rows} r where imports.id = r.id
  and (imports.state in ('waiting', 'interrupted') or (imports.state = 'running' and imports.updated_at < r.stale))
returning imports.id

-- name: import_progress
-- rows: id int, rows_read int, at int
update imports set rows_read = r.rows_read, updated_at = r.at from {rows} r where imports.id = r.id

-- name: import_counts
-- rows: id int, state text, recorded int, unchanged int, refused int, error text, at int
update imports set state = r.state, recorded = imports.recorded + r.recorded, unchanged = imports.unchanged + r.unchanged,
  refused = imports.refused + r.refused, error = r.error, updated_at = r.at
from {rows} r where imports.id = r.id

-- name: insert_import_refusals
-- rows: import_id int, n int, number text, code text, detail text
insert into import_refusals (import_id, n, number, code, detail)
select import_id, n, number, code, detail from {rows} r where true on conflict do nothing

-- name: import
select id, account_id, mode, name, defaults, state, rows_read, recorded, unchanged, refused, error, created_at, updated_at
from imports where id = :id and account_id = :account_id and mode = :mode and kind = :kind

-- name: imports
select id, account_id, mode, name, defaults, state, rows_read, recorded, unchanged, refused, error, created_at, updated_at
from imports where account_id = :account_id and mode = :mode and kind = :kind and id < :before order by id desc limit :most

-- name: import_refusals
select n, number, code, detail from import_refusals where import_id = :id and n > :after order by n limit :most
