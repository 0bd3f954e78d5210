"""YAML on standard input as JSON, one document a line; a key that is there twice is refused."""

import json
import sys

import yaml


class Loader(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{node.start_mark}: twice: {', '.join(map(str, twice))}")
        return super().construct_mapping(node, deep)


for document in yaml.load_all(sys.stdin, Loader):
    if document is not None:
        print(json.dumps(document))
