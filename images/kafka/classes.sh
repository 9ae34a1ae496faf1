#!/bin/bash
# Writes what every Java process of this image begins with: java.args, with the class path in a fixed order, and
# classes.jsa, an archive of the classes that a broker, its formatting and the command line use (AppCDS). They are the
# classes of a run of these programs on the loopback address. Runs where the image is built, with the image's own Java.
set -euo pipefail
export LC_ALL=C
home=/opt/kafka
limit_s=600
jars=("$home"/libs/*.jar)
path=$(IFS=:; echo "${jars[*]}")
work=$(mktemp -d)
trap 'kill %% 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
keytool -genkeypair -alias node -keyalg EC -dname CN=training -ext san=ip:127.0.0.1 -validity 2 \
  -storetype PKCS12 -keystore node.p12 -storepass training 2>keytool.log
cat >client.properties <<END
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="admin" password="training";
ssl.truststore.type=PKCS12
ssl.truststore.location=$work/node.p12
ssl.truststore.password=training
END
cat >server.properties <<END
node.id=0
process.roles=broker,controller
controller.quorum.voters=0@127.0.0.1:9093
listeners=CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:SSL
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs=$work/data
ssl.keystore.type=PKCS12
ssl.keystore.location=$work/node.p12
ssl.keystore.password=training
ssl.truststore.type=PKCS12
ssl.truststore.location=$work/node.p12
ssl.truststore.password=training
ssl.principal.mapping.rules=RULE:^CN=(.*)\$/\$1/
listener.name.controller.ssl.client.auth=required
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.client.scram-sha-512.$(grep ^sasl.jaas.config client.properties)
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:training
END
java=(timeout "$limit_s" java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$path")
topics=(org.apache.kafka.tools.TopicCommand --bootstrap-server 127.0.0.1:9092 --command-config client.properties)
"${java[@]}" -XX:DumpLoadedClassList=format.classes kafka.tools.StorageTool format --config server.properties \
  --cluster-id b2JzLXRyYWluaW5nLXJ1bg --add-scram 'SCRAM-SHA-512=[name=admin,password=training]' >/dev/null
"${java[@]}" -XX:DumpLoadedClassList=broker.classes kafka.Kafka server.properties >broker.log 2>&1 &
broker=$!
until (</dev/tcp/127.0.0.1/9092) 2>/dev/null; do
  kill -0 $broker || { cat broker.log; exit 1; }
  sleep 0.2
done
"${java[@]}" -XX:DumpLoadedClassList=create.classes "${topics[@]}" --create --topic training
"${java[@]}" -XX:DumpLoadedClassList=describe.classes "${topics[@]}" --describe
kill $broker
wait $broker || true
# Which garbage collector reads an archive does not matter; this one alone writes the objects that belong to it.
awk '!seen[$0]++' ./*.classes >list
java -Xshare:dump -XX:+UseG1GC -XX:SharedClassListFile=list "-XX:SharedArchiveFile=$home/classes.jsa" -cp "$path" \
  >dump.log 2>&1 || { tail dump.log; exit 1; }
chmod 644 "$home/classes.jsa"
printf '%s\n' -Xshare:auto "-XX:SharedArchiveFile=$home/classes.jsa" -cp "\"$path\"" >"$home/java.args"
