"""Ceilometer's own gnocchi publisher against a server that takes everything; prints the seconds that its calls took.

original.py ADDRESS SAMPLES RESOURCES: so many samples of so many resources, one publish call each, as its agent does for each notification.
"""
import logging
import sys
import time

from ceilometer import sample, service
from ceilometer.publisher import gnocchi
from oslo_utils import netutils

address, count, resources = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
conf = service.prepare_service(argv=["bench", "--config-file", "/dev/null"], config_files=[])
conf.set_override("auth_type", "gnocchi-basic", group="service_credentials")
from keystoneauth1 import loading  # noqa: E402

loading.register_auth_conf_options(conf, "service_credentials")
loading.get_plugin_loader("gnocchi-basic")
for option in loading.get_plugin_loader("gnocchi-basic").get_options():
    try:
        conf.register_opt(option._to_oslo_opt(), group="service_credentials")
    except Exception:
        pass
conf.set_override("user", "admin", group="service_credentials")
conf.set_override("endpoint", address, group="service_credentials")
publisher = gnocchi.GnocchiPublisher(conf, netutils.urlsplit("gnocchi://?enable_filter_project=false"))
# Releases before 2021 know the option by another name.
publisher.filter_project = None


def one(n):
    return sample.Sample(
        "volume.size", "gauge", "GB", n, "f5133a4ad093c09ce3f2e952da3da430", "24422850abc31525d567e2fd4bd0adcb",
        "8af60360-afd9-4dbb-a83a-%012x" % (n % resources), "2026-03-01T10:%02d:%02d" % (n // resources, n % 60),
        {"display_name": "volume-%d" % (n % resources), "volume_type": "lvm"})


logging.disable(logging.CRITICAL)
publisher.publish_samples([one(0)])
began = time.time()
for n in range(count):
    publisher.publish_samples([one(n)])
print(time.time() - began)
