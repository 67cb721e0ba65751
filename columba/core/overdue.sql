-- name: mark
select value from marks where name = :name

-- name: set_mark
-- rows: name text, value int
insert into marks (name, value) select name, value from {rows} r where true
on conflict (name) do update set value = excluded.value where marks.value < excluded.value

-- name: oldest
select min(id) from messages

-- name: without_receipt
select id from messages where id >= :after and id < :before and status = 30 order by id limit :most
