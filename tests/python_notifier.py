#!/usr/bin/python3
"""Send notifications as OpenStack's services do: by oslo.messaging's own Notifier (Debian's python3-oslo.messaging).

One JSON object per line comes in, from FILE or standard input:
    {"event_type": "...", "payload": {...}, "priority": "info", "publisher_id": "compute.host1"}
priority (default info) and publisher_id (default nephoscope.test) may be absent. With --count the lines are sent again
from the first until that many are out; in each, the text "{n}" stands for the number of the notification, from 0.

Out comes one line per notification that the broker has confirmed, "<n> <message_id>", to standard output or --out.
Exit code 0 when all were confirmed.

    /usr/bin/python3 tests/python_notifier.py --url rabbit://guest:guest@127.0.0.1:5672/ --driver messagingv2 lines.json
"""
import argparse
import json
import sys

from oslo_config import cfg
import oslo_messaging


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", metavar="FILE", default="-", help="JSON lines; - is standard input")
    parser.add_argument("--url", required=True, help="transport URL: rabbit://user:password@host:port/vhost")
    parser.add_argument("--driver", choices=["messaging", "messagingv2"], default="messagingv2")
    parser.add_argument("--topic", action="append", help="repeatable (default: notifications)")
    parser.add_argument("--exchange", default="openstack", help="control_exchange (default: %(default)s)")
    parser.add_argument("--count", type=int, help="how many to send (default: each line once)")
    parser.add_argument("--out", help="file for the ids of what was confirmed (default: standard output)")
    return parser.parse_args()


def main():
    args = arguments()
    with sys.stdin if args.file == "-" else open(args.file, encoding="utf-8") as source:
        lines = [line for line in source if line.strip()]
    if not lines:
        sys.exit("nothing to send: no line in the input")

    conf = cfg.ConfigOpts()
    oslo_messaging.set_transport_defaults(args.exchange)
    conf([], project="nephoscope-test", default_config_files=[], default_config_dirs=[])
    transport = oslo_messaging.get_notification_transport(conf, url=args.url)
    out = open(args.out, "w", encoding="utf-8") if args.out else sys.stdout
    sent = []

    # The driver logs what it cannot send and goes on; the transport below it raises, and knows the message id.
    send = transport._send_notification

    def send_and_remember(target, ctxt, message, **options):
        send(target, ctxt, message, **options)
        sent.append(message["message_id"])

    transport._send_notification = send_and_remember
    notifier = oslo_messaging.Notifier(
        transport, driver=args.driver, topics=args.topic or ["notifications"], publisher_id="nephoscope.test", retry=5
    )
    total = args.count if args.count is not None else len(lines)
    for number in range(total):
        line = json.loads(lines[number % len(lines)].replace("{n}", str(number)))
        one = notifier.prepare(publisher_id=line.get("publisher_id", "nephoscope.test"))
        before = len(sent)
        getattr(one, line.get("priority", "info"))({}, line["event_type"], line["payload"])
        if len(sent) == before:
            sys.exit(f"notification {number} was not confirmed")
        print(number, sent[-1], file=out, flush=out is not sys.stdout)
    out.flush()
    transport.cleanup()


if __name__ == "__main__":
    main()
