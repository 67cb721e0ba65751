-- Rules, and what became of them.

-- name: rule_marks
select id, version, place from rules

-- name: rules_by_id
-- rows: id int
select t.id, t.account_id, t.mode, t.version, t.place, t.enabled, t.name, t.spec, t.created_at, t.updated_at
from {rows} r join rules t on t.id = r.id

-- name: insert_rule
-- rows: id int, account_id int, mode int, version int, place float, enabled int, name text, spec text, at int
insert into rules (id, account_id, mode, version, place, enabled, name, spec, created_at, updated_at)
select id, account_id, mode, version, place, enabled, name, spec, at, at from {rows} r where true
on conflict (id) do nothing
returning id

-- Only as it was read: `was` is its version then.
-- name: update_rule
-- rows: id int, was int, place float, enabled int, name text, spec text, at int
-- once: id
update rules set version = r.was + 1, place = r.place, enabled = r.enabled, name = r.name, spec = r.spec, updated_at = r.at
from {rows} r where rules.id = r.id and rules.version = r.was
returning rules.id

-- name: delete_rule
-- rows: id int, was int
-- once: id
delete from rules where (id, version) in (select r.id, r.was from {rows} r)
returning id

-- name: insert_version
-- rows: rule_id int, version int, account_id int, mode int, change text, key_id int, at int, enabled int, name text, spec text
insert into rule_versions (rule_id, version, account_id, mode, change, key_id, at, enabled, name, spec)
select rule_id, version, account_id, mode, change, key_id, at, enabled, name, spec from {rows} r where true
on conflict (rule_id, version) do nothing

-- name: spread_places
-- rows: id int, place float
update rules set place = r.place from {rows} r where rules.id = r.id

-- name: versions_of
select version, change, key_id, at, enabled, name, spec from rule_versions
where rule_id = :rule_id and account_id = :account_id and mode = :mode and version < :before
order by version desc limit :most

-- name: version
select enabled, name, spec from rule_versions
where rule_id = :rule_id and version = :version and account_id = :account_id and mode = :mode

-- What was said when runs were set in motion.
-- name: specs
-- rows: rule_id int, version int
select v.rule_id, v.version, v.spec, v.name from {rows} r
join rule_versions v on v.rule_id = r.rule_id and v.version = r.version
