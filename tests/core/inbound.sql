-- name: texts
select b.text, b.extra from messages m join bodies b on b.message_id = m.id where m.direction = 1 order by m.id

-- name: waiting
select count(*) from fragments where message_id is null

-- name: all
select id, body from fragments
