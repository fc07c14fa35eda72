"""Counts things in proper English, with the help of a package from PyPI that is deployed with the function."""

import inflection


def handler(event, context):
    thing = event["thing"]
    return {
        "singular": inflection.singularize(thing),
        "plural": inflection.pluralize(thing),
        "class": inflection.camelize(thing),
        "table": inflection.tableize(thing),
        "third": inflection.ordinalize(3),
    }
