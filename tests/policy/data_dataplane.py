"""The files of a small data plane that keeps every promise."""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]

BCRYPT = "$2b$10$" + "a" * 53
TLS = {"cert_file": "/etc/tls/tls.crt", "key_file": "/etc/tls/tls.key"}
CLIENT_TLS = {"ca_file": "/etc/tls/ca.crt"}

NODE: Data = {
    "process.roles": "broker,controller",
    "listeners": "CLIENT://:9092,INTERNAL://:9091,CONTROLLER://:9093",
    "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INTERNAL",
    "listener.name.internal.ssl.client.auth": "required",
    "listener.name.controller.ssl.client.auth": "required",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.client.scram-sha-512.sasl.jaas.config": "example.ScramLoginModule required;",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": "/etc/tls/tls-combined.pem",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "/etc/tls/ca.crt",
    "ssl.principal.mapping.rules": "RULE:^CN=(broker|controller)$/$1/,DEFAULT",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "super.users": "User:operator;User:broker",
    "log.dirs": "/data/kafka",
    "metadata.log.max.snapshot.interval.ms": "300000",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "replica.fetch.max.bytes": "4194304",
}

JAVA_CLIENT: Data = {
    "bootstrap.servers": "kafka:9092",
    "security.protocol": "SASL_SSL",
    "sasl.mechanism": "SCRAM-SHA-512",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "/etc/tls/ca.crt",
    "acks": "all",
}

_KAFKA: Data = {
    "brokers": ["kafka:9092"],
    "tls": CLIENT_TLS,
    "auth": {"sasl": {"mechanism": "SCRAM-SHA-512", "username": "door", "password": "${file:/etc/auth/kafka}"}},
}

GATEWAY: Data = {
    "receivers": {
        "otlp": {
            "protocols": {
                "grpc": {
                    "endpoint": "0.0.0.0:4317",
                    "tls": TLS,
                    "auth": {"authenticator": "basicauth/senders"},
                    "max_recv_msg_size_mib": 1,
                },
                "http": {
                    "endpoint": "0.0.0.0:4318",
                    "tls": TLS,
                    "auth": {"authenticator": "basicauth/senders"},
                    "max_request_body_size": 1048576,
                },
            }
        },
        "otlp/own": {"protocols": {"http": {"endpoint": "127.0.0.1:4319"}}},
    },
    "processors": {
        "memory_limiter": {"check_interval": "1s", "limit_percentage": 75},
        "resource/sender": {"attributes": [{"key": "sender", "action": "upsert", "from_context": "auth.username"}]},
        "filter/foreign": {
            "error_mode": "propagate",
            "metric_conditions": [
                {"context": "resource", "conditions": ['resource.attributes["team"] != resource.attributes["sender"]']}
            ],
        },
    },
    "connectors": {"routing/metrics": {"error_mode": "propagate", "default_pipelines": ["metrics/out"]}},
    "exporters": {
        "kafka/metrics": {
            **_KAFKA,
            "metrics": {"topic": "numbers", "encoding": "otlp_proto"},
            "partition_metrics_by_resource_attributes": True,
            "producer": {
                "required_acks": -1,
                "allow_auto_topic_creation": False,
                "compression": "snappy",
                "max_message_bytes": 4194304,
            },
            "timeout": "20s",
            "retry_on_failure": {"enabled": True, "max_elapsed_time": 0},
            "sending_queue": {
                "enabled": True,
                "storage": "file_storage/queue",
                "batch": {"sizer": "bytes", "max_size": 2097152},
            },
        },
        "prometheus/own": {
            "endpoint": "0.0.0.0:8888",
            "tls": TLS,
            "auth": {"authenticator": "basicauth/scraper"},
        },
    },
    "extensions": {
        "basicauth/senders": {"htpasswd": {"file": "/etc/auth/senders.htpasswd"}},
        "basicauth/scraper": {"htpasswd": {"file": "/etc/auth/scraper.htpasswd"}},
        "file_storage/queue": {"directory": "/queue/records", "fsync": True},
        "health_check": {"endpoint": "0.0.0.0:13133", "tls": TLS},
    },
    "service": {
        "extensions": ["basicauth/senders", "basicauth/scraper", "file_storage/queue", "health_check"],
        "telemetry": {
            "metrics": {
                "readers": [{"periodic": {"exporter": {"otlp": {"endpoint": "http://127.0.0.1:4319"}}}}],
            }
        },
        "pipelines": {
            "metrics/in": {
                "receivers": ["otlp"],
                "processors": ["memory_limiter", "resource/sender", "filter/foreign"],
                "exporters": ["routing/metrics"],
            },
            "metrics/out": {"receivers": ["routing/metrics"], "processors": [], "exporters": ["kafka/metrics"]},
            "metrics/own": {"receivers": ["otlp/own"], "exporters": ["prometheus/own"]},
        },
    },
}

DOOR: Data = {
    "receivers": {
        "otlp": {
            "protocols": {
                "grpc": {
                    "endpoint": "0.0.0.0:4317",
                    "tls": TLS,
                    "auth": {"authenticator": "login"},
                    "middlewares": [{"id": "login"}],
                    "max_recv_msg_size_mib": 1,
                },
                "http": {
                    "endpoint": "0.0.0.0:4318",
                    "tls": TLS,
                    "auth": {"authenticator": "login"},
                    "middlewares": [{"id": "login"}],
                    "max_request_body_size": 1048576,
                },
            }
        }
    },
    "processors": {
        "memory_limiter": {"check_interval": "1s", "limit_percentage": 75},
        "gate": {"catalogue": "/etc/gate/catalogue.yaml", "hash_key": "${file:/etc/auth/hash-key}"},
    },
    "exporters": {
        "kafkabuckets/metrics": {
            "brokers": ["kafka:9092"],
            "tls": CLIENT_TLS,
            "auth": {"username": "door", "password": "${file:/etc/auth/kafka}"},
            "topic": "numbers",
            "buckets": 12,
            "max_message_bytes": 4194304,
            "timeout": "5s",
            "sending_queue": {
                "wait_for_result": True,
                "queue_size": 8388608,
                "batch": {"sizer": "bytes", "max_size": 2097152},
            },
            "spill": {"sending_queue": {"storage": "file_storage/queue"}, "timeout": "15s"},
        }
    },
    "extensions": {
        "login": {
            "htpasswd": "/etc/auth/senders.htpasswd",
            "max_connections": 512,
            "max_connections_per_address": 256,
            "tls": TLS,
            "clients": {
                "numbers": {
                    "share": 0.8,
                    "rates": {
                        "metrics": {"items": 1000, "bytes": 100000},
                        "traces": {"items": 1000, "bytes": 100000},
                        "logs": {"items": 1000, "bytes": 100000},
                    },
                }
            },
            "queues": {"metrics": 8388608, "traces": 8388608, "logs": 8388608},
        },
        "file_storage/queue": {"directory": "/queue/records", "fsync": True},
        "drain": {"endpoint": "0.0.0.0:13134", "tls": TLS, "limit": "5m"},
    },
    "service": {
        "extensions": ["login", "file_storage/queue", "drain"],
        "pipelines": {
            "metrics": {
                "receivers": ["otlp"],
                "processors": ["memory_limiter", "gate"],
                "exporters": ["kafkabuckets/metrics"],
            }
        },
    },
}
"""The same door with the collector's own components."""

CONSUMER: Data = {
    "receivers": {
        "kafka": {
            **_KAFKA,
            "auth": {"sasl": {**_KAFKA["auth"]["sasl"], "username": "reader"}},
            "group_id": "reader",
            "group_instance_id": "reader",
            "session_timeout": "25m",
            "initial_offset": "earliest",
            "metrics": {"topics": ["numbers"], "encoding": "otlp_proto"},
            "max_fetch_size": 2097152,
            "max_partition_fetch_size": 524288,
            "message_marking": {"after": True, "on_error": False, "on_permanent_error": True},
            "error_backoff": {"enabled": True, "multiplier": 1.5, "max_elapsed_time": 0},
        }
    },
    "processors": {"memory_limiter": {"check_interval": "1s", "limit_percentage": 75}},
    "exporters": {
        "otlphttp/store": {
            "metrics_endpoint": "https://store:9090/api/v1/otlp/v1/metrics",
            "tls": CLIENT_TLS,
            "auth": {"authenticator": "basicauth/writer"},
            "sending_queue": {"enabled": False},
            "retry_on_failure": {"enabled": True, "max_elapsed_time": 0},
        }
    },
    "extensions": {"basicauth/writer": {"client_auth": {"username": "writer", "password_file": "/etc/auth/writer"}}},
    "service": {
        "extensions": ["basicauth/writer"],
        "pipelines": {
            "metrics/store": {
                "receivers": ["kafka"],
                "processors": ["memory_limiter"],
                "exporters": ["otlphttp/store"],
            }
        },
    },
}

PROMETHEUS: Data = {
    "global": {"external_labels": {"copy": "left"}},
    "otlp": {"translation_strategy": "UnderscoreEscapingWithSuffixes"},
    "storage": {"tsdb": {"out_of_order_time_window": "6h"}},
    "scrape_configs": [
        {
            "job_name": name,
            "scheme": "https",
            "basic_auth": {"username": f"scrape-{name}", "password_file": f"/etc/scrape/{name}"},
            "tls_config": {"ca_file": "/etc/tls/ca.crt", "server_name": f"{name}.example"},
            "dns_sd_configs": [{"names": [f"_metrics._tcp.{name}.example"], "type": "SRV"}],
        }
        for name in ("one", "two")
    ],
}

WEB: Data = {"tls_server_config": {**TLS, "min_version": "TLS12"}, "basic_auth_users": {"reader": BCRYPT}}
HELPER: Data = {
    "basic_auth": {"username": "helper", "password_file": "/etc/web/helper"},
    "tls_config": {"ca_file": "/etc/tls/ca.crt", "server_name": "localhost"},
}
STORES: Data = {
    "default_client_config": {
        "tls_config": {"enabled": True, **TLS, "ca_file": "/etc/tls/ca.crt"},
        "server_name": "store.example",
    },
    "endpoints": [{"address": "dns+store.example:10901"}],
}
AGENT: Data = {
    "httpServer": {
        "authentication": {
            "basic": {"username": "scraper", "algorithm": "SHA-256", "salt": "5a17", "passwordHash": "9f86d0818"}
        },
        "ssl": {"keyStore": {"filename": "/etc/tls/keystore.p12"}},
    },
    "lowercaseOutputName": True,
}
SERVICE: Data = {
    "bootstrap": "kafka:9092",
    "ca_file": "/etc/tls/ca.crt",
    "username": "watcher",
    "password_file": "/etc/auth/kafka",
    "listen": "0.0.0.0:8080",
    "tls": TLS,
    "metrics": {"user": "scraper", "password_file": "/etc/auth/scrape"},
    "topics": ["numbers"],
    "groups": ["reader"],
}
