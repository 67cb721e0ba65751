-- Prices, budgets and what was spent.

-- name: prices
select account_id, mode, carrier_id, country, prefix, class, price, currency from prices

-- name: prices_of
select carrier_id, country, prefix, class, price, currency, updated_at from prices
where account_id = :account_id and mode = :mode and (carrier_id = :carrier_id or :carrier_id < 0)
  and (country = :country or :country = '')
  and (carrier_id, country, prefix, class) > (:last_carrier, :last_country, :last_prefix, :last_class)
order by carrier_id, country, prefix, class limit :most

-- name: put_prices
-- rows: account_id int, mode int, carrier_id int, country text, prefix text, class int, price int, currency text, at int
insert into prices (account_id, mode, carrier_id, country, prefix, class, price, currency, updated_at)
select account_id, mode, carrier_id, country, prefix, class, price, currency, at from {rows} r where true
on conflict (account_id, mode, carrier_id, country, prefix, class) do update set price = excluded.price,
  currency = excluded.currency, updated_at = excluded.updated_at

-- Of one carrier, or (-1) all.
-- name: drop_prices
-- rows: account_id int, mode int, carrier_id int
delete from prices where exists (
  select 1 from {rows} r where r.account_id = prices.account_id and r.mode = prices.mode
    and (r.carrier_id = prices.carrier_id or r.carrier_id < 0))

-- name: budgets
select account_id, mode, currency, balance, daily_cap, unpriced, day, spent from budgets

-- name: budget
select currency, balance, daily_cap, unpriced, day, spent, updated_at from budgets
where account_id = :account_id and mode = :mode

-- What is not given (given 0) stays. A top-up is added to what there is.
-- name: set_budget
-- rows: account_id int, mode int, currency text, sets_balance int, balance int, sets_cap int, daily_cap int, unpriced text
-- rows: at int
insert into budgets (account_id, mode, currency, balance, daily_cap, unpriced, updated_at)
select account_id, mode, currency, balance, daily_cap, coalesce(unpriced, 'refuse'), at from {rows} r where true
on conflict (account_id, mode) do update set currency = excluded.currency,
  balance = case when (select max(r.sets_balance) from {rows} r) = 1 then excluded.balance else budgets.balance end,
  daily_cap = case when (select max(r.sets_cap) from {rows} r) = 1 then excluded.daily_cap else budgets.daily_cap end,
  unpriced = coalesce((select max(r.unpriced) from {rows} r), budgets.unpriced), updated_at = excluded.updated_at

-- name: top_up
-- rows: account_id int, mode int, amount int, at int
update budgets set balance = coalesce(budgets.balance, 0) + r.amount, updated_at = r.at
from (select account_id, mode, cast(sum(amount) as bigint) as amount, max(at) as at from {rows} r
  group by account_id, mode) r
where budgets.account_id = r.account_id and budgets.mode = r.mode
returning budgets.account_id

-- name: drop_budget
-- rows: account_id int, mode int
delete from budgets where exists (
  select 1 from {rows} r where r.account_id = budgets.account_id and r.mode = budgets.mode)

-- In the accepting transaction. The cheapest come first, so that what is refused could not be paid in any order. The
-- budget stays locked until the end, so no two processes spend the same money.
-- name: overspent
-- rows: ref int, message_id int, account_id int, mode int, day int, amount int
-- gives: ref, message_id, code
select y.ref, y.message_id,
  case when y.amount is null then 'no_price' when y.together > y.balance then 'insufficient_balance'
    else 'daily_cap_reached' end as code
from (
  select x.ref, x.message_id, x.amount, b.balance, b.daily_cap, case when b.day = x.day then b.spent else 0 end as spent,
    sum(x.amount) over (partition by x.account_id, x.mode order by x.amount, x.message_id rows unbounded preceding)
      as together
  from {rows} x
  join (
    select b.account_id, b.mode, b.balance, b.daily_cap, b.day, b.spent from budgets b
    where exists (select 1 from {rows} r where r.account_id = b.account_id and r.mode = b.mode)
    order by b.account_id, b.mode {lock b}) b on b.account_id = x.account_id and b.mode = x.mode) y
where y.amount is null or y.together > y.balance or y.spent + y.together > y.daily_cap

-- name: insert_debits
-- rows: message_id int, account_id int, mode int, day int, amount int, check_at int
insert into debits (message_id, account_id, mode, day, amount, check_at)
select message_id, account_id, mode, day, amount, check_at from {rows} r

-- name: debit
-- rows: message_id int, account_id int, mode int, day int, amount int
update budgets set balance = budgets.balance - r.amount,
  spent = case when budgets.day = r.day then budgets.spent else 0 end + r.amount, day = r.day
from (select account_id, mode, max(day) as day, sum(amount) as amount from {rows} r group by account_id, mode) r
where budgets.account_id = r.account_id and budgets.mode = r.mode

-- Messages that go on to another carrier at another price: those for which there is the money.
-- name: may_cost
-- rows: message_id int, amount int, day int
-- gives: message_id, account_id, mode, day, amount
select y.message_id, y.account_id, y.mode, y.day, y.more as amount
from (
  select x.message_id, d.account_id, d.mode, x.day, x.amount - d.amount as more, b.balance, b.daily_cap,
    case when b.day = x.day then b.spent else 0 end as spent,
    sum(x.amount - d.amount) over (
      partition by d.account_id, d.mode order by x.amount - d.amount, x.message_id rows unbounded preceding) as together
  from {rows} x join debits d on d.message_id = x.message_id
  join (
    select b.account_id, b.mode, b.balance, b.daily_cap, b.day, b.spent from budgets b
    where exists (
      select 1 from {rows} r join debits d on d.message_id = r.message_id
      where d.account_id = b.account_id and d.mode = b.mode)
    order by b.account_id, b.mode {lock b}) b on b.account_id = d.account_id and b.mode = d.mode) y
where (y.balance is null or y.together <= y.balance)
  and (y.daily_cap is null or y.spent + y.together <= y.daily_cap)

-- name: more_debits
-- rows: message_id int, account_id int, mode int, day int, amount int
update debits set amount = debits.amount + r.amount from {rows} r where debits.message_id = r.message_id

-- What was taken for messages that have ended. Whoever deletes the debit gives back what the message did not cost.
-- name: due_debits
select message_id from debits where check_at <= :now order by check_at limit :most

-- name: later_debits
-- rows: message_id int, check_at int
update debits set check_at = r.check_at from {rows} r where debits.message_id = r.message_id

-- name: ended_debits
-- rows: message_id int
-- gives: message_id, account_id, mode, day, back
select d.message_id, d.account_id, d.mode, d.day, d.amount - coalesce(
  (select cast(sum(c.price) as bigint) from costs c where c.message_id = d.message_id), 0) as back
from {rows} r join debits d on d.message_id = r.message_id join messages m on m.id = d.message_id
where m.status >= 50 {lock d}

-- name: drop_debits
-- rows: message_id int
delete from debits where message_id in (select message_id from {rows} r)

-- name: refund
-- rows: message_id int, account_id int, mode int, day int, back int
update budgets set balance = budgets.balance + r.back,
  spent = budgets.spent - case when budgets.day = r.day then r.back_of_day else 0 end
from (select x.account_id, x.mode, max(x.day) as day, sum(x.back) as back,
    sum(case when x.day = b.day then x.back else 0 end) as back_of_day
  from {rows} x join budgets b on b.account_id = x.account_id and b.mode = x.mode
  group by x.account_id, x.mode) r
where budgets.account_id = r.account_id and budgets.mode = r.mode

-- name: insert_costs
-- rows: lane int, message_id int, hop int, n int, account_id int, mode int, carrier_id int, price int, currency text
insert into costs (message_id, hop, n, account_id, mode, carrier_id, price, currency)
select message_id, hop, n, account_id, mode, carrier_id, price, currency from {rows} r where true
on conflict (message_id, hop, n) do nothing

-- name: costs_of
select hop, n, carrier_id, price, currency from costs where message_id = :id order by hop, n

-- name: spent
select carrier_id, currency, count(*), cast(sum(price) as bigint), count(distinct message_id) from costs
where message_id >= :since and message_id < :until and account_id = :account_id and mode = :mode
group by carrier_id, currency order by 4 desc

-- name: debited
-- rows: message_id int
-- gives: message_id
select r.message_id from {rows} r join debits d on d.message_id = r.message_id
