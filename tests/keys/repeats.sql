-- name: answers
select answer from idempotency
