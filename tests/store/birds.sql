-- A small table of its own, so that these tests say what the store does and not what a capability does with it.

-- name: insert_birds
-- rows: id int, name text, weight float, owner int
insert into birds (id, name, weight, owner) select id, name, weight, owner from {rows} r where true
on conflict (id) do nothing
returning id

-- name: count_birds
-- rows: id int, name text, weight float, owner int
insert into birds (id, name, weight, owner) select id, name, weight, owner from {rows} r

-- name: rename_birds
-- rows: id int, name text
update birds set name = r.name from {rows} r where birds.id = r.id
returning birds.id, birds.owner

-- name: find_birds
-- rows: id int
-- gives: id, name, weight, owner
select birds.id, birds.name, birds.weight, birds.owner from {rows} r join birds on birds.id = r.id

-- name: insert_rings
-- rows: bird int, word text
insert into rings (bird, word) select bird, word from {rows} r
returning bird

-- name: insert_found
-- rows: bird int, word text, weight float, owner int
insert into rings (bird, word) select bird, word from {rows} r

-- name: note_birds
-- rows: id int
insert into notes (bird) select id from {rows} r

-- name: all_birds
select id, name, weight, owner from birds order by id

-- name: all_rings
select bird, word from rings order by bird, word

-- name: all_notes
select bird from notes order by n

-- name: bird
select name from birds where id = :id and (:name = '' or name = :name)

-- name: some_birds
-- rows: id int
select birds.id from {rows} r join birds on birds.id = r.id where birds.id > :after order by birds.id

-- name: claim_birds
-- rows: id int, was int, owner int
-- once: id
update birds set owner = r.owner from {rows} r where birds.id = r.id and birds.owner = r.was
returning birds.id
