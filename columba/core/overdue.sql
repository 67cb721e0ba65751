-- The oldest that were sent and have no receipt. The index holds only what is on its way.
-- name: overdue
select id from messages where status = 30 and updated_at < :before order by updated_at limit :most
