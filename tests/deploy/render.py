#!/usr/bin/env python3
"""Renders the chart and holds manifests to the schemas of Kubernetes; prints them as JSON.

    render.py chart FOLDER VALUES.json    `helm template`; without helm, its library as helm-python-sdk carries it
    render.py file FILE                   a plain manifest

It ends with 1 and says why where the chart, the values or a manifest is refused, with 77 where neither helm nor the schemas are
there (`.ci/tools charts` installs them).
"""

import json
import shutil
import subprocess
import sys

# The oldest and the newest of which the schemas are there, and what is between.
OLDEST = 25


def refuse(why):
    print(why, file=sys.stderr)
    sys.exit(1)


def unavailable(what):
    print(f"{what} is not installed: run .ci/tools charts", file=sys.stderr)
    sys.exit(77)


def rendered(folder, values):
    if shutil.which("helm"):
        done = subprocess.run(
            ["helm", "template", "nephoscope", folder, "--values", values], capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else refuse(done.stderr)
    try:
        import helm_python
    except ImportError:
        unavailable("helm")
    with open(values, encoding="utf-8") as file:
        wanted = json.load(file)
    try:
        errors = helm_python.lint(folder, wanted, strict=True)["errors"]
    except helm_python.HelmError as error:
        errors = [error]
    if errors:
        refuse("\n".join(str(error) for error in errors))
    with helm_python.Chart.load(folder) as chart:
        try:
            chart.validate_schema(wanted)
            files = chart.render(wanted, name="nephoscope", namespace="default")
        except helm_python.HelmError as error:
            refuse(str(error))
    # NOTES.txt is for people.
    return "\n---\n".join(text for name, text in sorted(files.items()) if name.endswith(".yaml"))


def main():
    try:
        import kubernetes_validate
        import yaml
    except ImportError:
        unavailable("kubernetes-validate")
    what, path, *values = sys.argv[1:]
    if what == "chart":
        text = rendered(path, *values)
    else:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    documents = [document for document in yaml.safe_load_all(text) if document]
    newest = int(kubernetes_validate.latest_version().split(".")[1])
    for minor in range(OLDEST, newest + 1):
        for document in documents:
            try:
                kubernetes_validate.validate(document, f"1.{minor}", strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                # Without the schema, which is pages long.
                at = "/".join(str(key) for key in getattr(error, "path", []))
                refuse(f"Kubernetes 1.{minor} refuses {document.get('kind')}: {at}: {getattr(error, 'message', error)}")
    json.dump(documents, sys.stdout, indent=1)


main()
