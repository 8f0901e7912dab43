"""Operations of ZooKeeper by kazoo, some of them on nodes that are not there. Prints how many there were."""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

done = 0
watched = []
client = KazooClient(f"127.0.0.1:{sys.argv[1]}")
client.start()
# Opening the session.
done += 1
client.create("/shop")
done += 1
for number in range(1000):
    path = f"/shop/{number}"
    client.create(path, b"x" * (number % 700))
    client.get(path, watch=watched.append)
    client.set(path, b"new")
    client.exists(path + "/none")
    done += 4
    for wrong, call in [(NodeExistsError, lambda: client.create(path)), (NoNodeError, lambda: client.get("/none"))]:
        try:
            call()
        except wrong:
            done += 1
    if number % 3 == 0:
        transaction = client.transaction()
        transaction.create(path + "/a")
        transaction.delete(path + "/a")
        transaction.commit()
        done += 1
    try:
        client.set(path, b"", version=77)
    except BadVersionError:
        done += 1
assert len(client.get_children("/shop")) == 1000 and len(watched) == 1000
client.stop()
client.close()
# The children, and closing the session.
print(done + 2)
