-- A database of the first version, as a program left it: a row or more in every table. Never change a row when the
-- schema moves on: what is here is what is on people's disks.

insert into accounts (id, name, settings, created_at) values (1, 'Ærø Ferries', '{}', 1760000000000);
insert into keys (id, account_id, mode, name, secret_hash, hint, scopes, settings, created_at, expires_at, revoked_at,
  previous_hash, previous_until)
values (11, 1, 1, 'live', 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9', 'Ab12', '[]', '{}',
    1760000000000, null, null, null, null),
  (12, 1, 0, 'test', '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', 'Cd34', '["messages:read"]',
    '{"rate_limit": 10}', 1760000000000, 1990000000000, 1760000001000, 'fcde2b2edba56bf408601fb721fe9b5c', 1760000002000);
insert into carriers (id, account_id, mode, name, kind, config, secrets, rate, window_size, lanes, most_lanes,
  on_unknown, state, revision, version, created_at, updated_at)
values (128, 1, 1, 'north', 'smpp', '{}', null, 100.0, 10, null, 1, 'resend', 'on', 1, 1, 1760000000000, 1760000000000);
insert into carrier_states (lane, token, up, why, since, flying) values (128, 'gone', 0, 'refused', 1760000000000, 0);
update versions set n = 7 where topic = 'keys';
insert into versions (topic, n) values ('of-old', 3);
insert into lanes (id, token, epoch) values (64, 'gone', 3), (65, '', 9);
update nodes set token = 'gone', beat = 1760000000000 where n = 1;
insert into nodes (n, token, beat) values (2000, 'odd', 0);

insert into messages (id, account_id, mode, direction, status, class, lane, to_addr, from_addr, encoding, segments,
  due_at, expires_at, attempts, updated_at, last_event, error, carrier_code, batch_id, callback)
values
  (101, 1, 0, 0, 50, 1, 64, '+447700900101', '+12025550100', 1, 2, 1760000000000, 1990000000000, 1, 1760000000500,
    1005, null, null, 31, 42),
  (102, 1, 0, 0, 20, 0, 64, '+447700900102', '', 0, 1, 1760000000000, 1990000000000, 0, 1760000000000, 1001, null,
    null, null, null),
  (103, 1, 0, 0, 10, 2, 65, '+447700900103', 'Aero', 0, 1, 1989999000000, 1990000000000, 0, 1760000000000, 1002, null,
    null, null, null),
  (104, 1, 0, 1, 60, 1, 64, '+12025550100', '+447700900101', 0, 1, 1760000000000, 0, 0, 1760000000000, 1003, null,
    null, null, null),
  (105, 1, 0, 0, 52, 1, 64, '+447700900105', '', 0, 1, 1760000000000, 1990000000000, 1, 1760000000000, 1004,
    'rejected', 'E-1', null, null);
insert into bodies (message_id, text, extra)
values (101, 'Grüße, “delivered”', '{"tags":["login"],"metadata":{"user":"42"}}'), (102, 'queued', null),
  (103, 'scheduled', '{"send_at":1989999000000}'), (104, 'received', null), (105, null, '{"redacted_at":1760000000900}');
insert into tags (account_id, mode, tag, message_id) values (1, 0, 'login', 101);
insert into parts (message_id, n, carrier_id, carrier_message_id, status, error, carrier_code, sent_at, done_at)
values (101, 1, 64, 'carrier-1', 50, null, null, 1760000000100, 1760000000500),
  (101, 2, 64, 'carrier-2', 50, null, null, 1760000000100, 1760000000500);
insert into parked_receipts (event_id, carrier_id, carrier_message_id, status, error, carrier_code, at)
values (1900, 64, 'nobody-1', 51, 'unreachable', 'UNDELIV', 1760000000400);
insert into fragments (id, key, n, total, digest, carrier_id, account_id, mode, sender, to_addr, body, due_at, message_id)
values (1800, '64/+447700900101/+12025550100/n7/2', 1, 2, 'b94d27b9934d3e08a52e52d7', 64, 1, 0, '+447700900101',
  '+12025550100', '{"text":"half of","coding":"gsm7","data":"aGFsZiBvZg==","header":{"concat":{"reference":7,"total":2,"number":1,"wide":false},"ports":null,"locking":0,"single":0,"others":[]}}', 1760000300000, null);

insert into events (id, account_id, mode, type, subject, at, data)
values (1000, 1, 0, 20, 101, 1760000000000, null), (1001, 1, 0, 20, 102, 1760000000000, null),
  (1002, 1, 0, 10, 103, 1760000000000, null), (1003, 1, 0, 60, 104, 1760000000000, null),
  (1004, 1, 0, 52, 105, 1760000000000, null), (1005, 1, 0, 50, 101, 1760000000500, null),
  (1006, 1, 0, 100, 41, 1760000000600, '{"id":"whk_0000000000019"}');
insert into webhooks (id, account_id, mode, kind, url, events, description, settings, secret, previous_secret,
  previous_until, state, reason, failing_since, created_at, updated_at)
values (41, 1, 0, 'endpoint', 'https://example.com/hook', '["message.*"]', 'all', '{}', 'v1.deadbeef.c2VhbGVk', null,
    null, 'disabled', 'failing', 1760000000000, 1760000000000, 1760000000600),
  (42, 1, 0, 'callback', 'https://example.com', '[]', '', '{}', 'v1.deadbeef.c2VhbGVk', 'v1.deadbeef.b2xk', 1760000000001,
    'enabled', null, null, 1760000000000, 1760000000000);
insert into subscriptions (account_id, mode, type, endpoint_id) values (1, 0, 50, 41);
insert into deliveries (endpoint_id, event_id, status, due_at, attempts, updated_at, answer_status, latency_ms, error,
  answer)
values (41, 1005, 2, 1760000000600, 8, 1760000000600, 500, 20, 'http_500', 'oh'),
  (42, 1005, 0, 1760000000600, 0, 1760000000600, null, null, null, null);
insert into attempts (endpoint_id, event_id, n, at, answer_status, latency_ms, error, answer)
values (41, 1005, 1, 1760000000600, 500, 20, 'http_500', 'oh');
insert into idempotency (account_id, mode, key, ref, body_hash, status, answer, created_at)
values (1, 0, 'once', 101, 'b94d27', 202, '{"id":"msg_0000000000035"}', 1760000000000);
insert into smpp_logins (key_id, password_hash, settings, created_at, updated_at)
values (11, 'b94d27b9', '{}', 1760000000000, 1760000000000);
insert into smpp_parts (message_id, n, total, key_id, key, body, asked, due_at)
values (106, 1, 2, 11, '+447700900101/7', 'half of', '{}', 1760000300000);
