"""What the Pulumi engine needs and no package registry serves: the Python language host and three provider plugins.

The product code uses the real SDKs and the real engine and never knows. Where a machine has the vendor's own
host on PATH, `lab.pulumi_host.home.install` can leave it in charge.
"""
