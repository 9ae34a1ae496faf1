"""The platform beside a peer: stock collector settings on the same brokers, with the same load, in turns.

The peer is what somebody gets who follows the components' defaults: OTLP receiver, batch processor, Kafka exporter as
it comes (acks=1, no compression, no key, queue in memory), Kafka receiver, and a store of the signal. `plans` says
which, and what holds on either side. Its processes run on loopback in the lab's network namespace; its topic,
its indices and its processes are made and removed here.

Turns are ours, peer, peer, ours, so that a machine that gets faster or slower favours nobody. Costs are CPU seconds
beyond the idle platform: by control group for pods, by process for the peer.

``python -m lab bench`` runs it.
"""
