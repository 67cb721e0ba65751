from tests.api import Columba, eventually
async def test_x(columba: Columba) -> None:
    m = await columba.send()
    async def done():
        rows = await columba.app.store.read(columba_sql["messages_by_id"], [(m.id,)])
        return rows[0][11] == 50
    await eventually(done)
from columba.core.events import SQL as columba_sql
