"""What the installed Ceilometer makes of notifications: asked by tests/differential, never by the agent.

usage: ceilometer_answers.py METER_DEFINITIONS_DIR EVENT_DEFINITIONS_FILE < notifications > answers

A line in is {"message": {ctxt, publisher_id, event_type, payload, metadata}, "priority"}; a line out is {"samples",
"events", "errors"}, errors being the classes of what was raised. Every meter definition, polled sample and sensor is
asked alone, so that what one of them raises hides nothing of the others.
"""
import copy
import json
import logging
import re
import sys

import yaml
from stevedore import extension

from ceilometer import middleware
from ceilometer import sample as sample_util
from ceilometer import service
from ceilometer.event import converter
from ceilometer.ipmi.notifications import ironic
from ceilometer.meter import notifications as meters
from ceilometer.telemetry import notifications as telemetry

# Some of Ceilometer's libraries print while they load.
answers, sys.stdout = sys.stdout, sys.stderr

logging.disable(logging.CRITICAL)
conf = service.prepare_service(argv=["answers"], config_files=[])
logging.disable(logging.CRITICAL)
conf.set_override("meter_definitions_dirs", [sys.argv[1]], group="meter")
conf.set_override("store_raw", ["error"], group="event")

POLLED = telemetry.TelemetryIpc(conf, None)
SENSORS = [
    getattr(ironic, name)(conf, None)
    for name in (
        "CurrentSensorNotification",
        "FanSensorNotification",
        "TemperatureSensorNotification",
        "VoltageSensorNotification",
    )
]
HTTP = [middleware.HTTPRequest(conf, None), middleware.HTTPResponse(conf, None)]
METERS = meters.ProcessMeterNotifications(conf, None)
with open(sys.argv[2]) as file:
    EVENTS = converter.NotificationEventsConverter(
        conf, yaml.safe_load(file), extension.ExtensionManager("ceilometer.event.trait_plugin")
    )


def is_for(endpoint, event_type):
    return re.compile("|".join(endpoint.event_types)).match(event_type) is not None


def each_alone(message, kind, *path):
    """Copies of the message that have one entry of the list or dict at the path each; one copy where there is none."""
    whole = copy.deepcopy(message)
    try:
        found = whole
        for key in path:
            found = found[key]
        if not found or not isinstance(found, kind):
            return [whole]
        entries = [kind([entry]) for entry in (found.items() if kind is dict else found)]
    except Exception:
        return [whole]
    alone = []
    for entry in entries:
        one = copy.deepcopy(message)
        holder = one
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = entry
        alone.append(one)
    return alone


def published(sample):
    """The check that every pipeline does."""
    if sample.volume is None:
        return False
    if not isinstance(sample.volume, (int, float)):
        try:
            float(sample.volume)
        except (ValueError, TypeError):
            return False
    return True


def answer(message, priority):
    samples, events, errors = [], [], []

    def ask(make):
        try:
            samples.extend(sample for sample in make() if published(sample))
        except Exception as error:
            errors.append(type(error).__name__)

    event_type = message["event_type"]
    if priority in ("info", "sample"):
        if is_for(POLLED, event_type):
            for one in each_alone(message, list, "payload", "samples"):
                ask(lambda: list(POLLED.build_sample(one)))
        for sensor in SENSORS:
            if is_for(sensor, event_type):
                for one in each_alone(message, dict, "payload", "payload", sensor.metric):
                    ask(lambda: list(sensor.build_sample(one)))
        for endpoint in HTTP:
            if is_for(endpoint, event_type):
                ask(lambda: list(endpoint.build_sample(copy.deepcopy(message))))
        for definition in METERS.definitions:
            if not definition.match_type(event_type):
                continue
            made = definition.to_samples(copy.deepcopy(message))
            while True:
                try:
                    parts = next(made)
                except StopIteration:
                    break
                except Exception as error:
                    errors.append(type(error).__name__)
                    break
                ask(lambda: [sample_util.Sample.from_notification(**parts)])
    if priority in ("info", "error"):
        try:
            event = EVENTS.to_event(priority, copy.deepcopy(message))
            if event is not None:
                events.append(event.serialize())
        except Exception as error:
            errors.append(type(error).__name__)
    return {"samples": [sample.as_dict() for sample in samples], "events": events, "errors": errors}


for line in sys.stdin:
    given = json.loads(line)
    print(json.dumps(answer(given["message"], given["priority"])), file=answers)
