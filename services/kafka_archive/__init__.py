"""The continuous archive of Kafka: every record of its topics, encrypted, in the object storage; and the way back.

Runs as ``python3 -m services.kafka_archive --config FILE``; several of them share the partitions. A record is committed
after its segment is stored, so that a crash stores some records twice and loses none; `restore` drops the doubled ones.
"""
