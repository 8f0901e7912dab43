"""Statements of every kind, some of them wrong. Prints how many were carried out and how many failed."""

import sys

import pymysql
from pymysql.constants import CLIENT

port, password = int(sys.argv[1]), open("password").read().strip()
ssl = {"ca": "cert.pem", "check_hostname": False} if sys.argv[2] == "tls" else None
done = failed = 0


def run(cursor, statement, *arguments):
    global done, failed
    try:
        cursor.execute(statement, *arguments)
        while cursor.nextset():
            pass
        done += 1
    except pymysql.MySQLError:
        failed += 1


connection = pymysql.connect(
    host="127.0.0.1", port=port, user="tester", password=password, ssl=ssl, ssl_disabled=ssl is None,
    client_flag=CLIENT.MULTI_STATEMENTS, autocommit=True, local_infile=True,
)
with connection, connection.cursor() as cursor:
    run(cursor, "CREATE DATABASE shop")
    run(cursor, "CREATE TABLE shop.orders (id INT PRIMARY KEY, note TEXT)")
    for number in range(1500):
        run(cursor, "INSERT INTO shop.orders VALUES (%s, %s)", (number, "n" * (number % 3000)))
        run(cursor, "SELECT * FROM shop.orders WHERE id = %s", (number,))
        if number % 3 == 0:
            run(cursor, "INSERT INTO shop.orders VALUES (%s, 'again')", (number,))
            run(cursor, "SELECT nothing FROM nowhere")
        if number % 10 == 0:
            run(cursor, "SELECT 1; UPDATE shop.orders SET note = 'x' WHERE id = %s; SELECT 2", (number,))
            run(cursor, "SELECT 1; nonsense; SELECT 2")
    for _ in range(20):
        run(cursor, "SELECT * FROM shop.orders")
    with open("rows.txt", "w") as rows:
        rows.writelines(f"{number}\tloaded\n" for number in range(5000, 25000))
    run(cursor, "LOAD DATA LOCAL INFILE 'rows.txt' INTO TABLE shop.orders")
    run(cursor, "SELECT * FROM shop.orders")
print(done, failed)
