"""What a load needs: cores, pods, partitions and volumes, from what benches measured."""
