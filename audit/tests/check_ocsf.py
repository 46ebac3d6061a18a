#!/usr/bin/env python3
"""Checks OCSF 1.8.0 events, one a line, against what the published schema demands of them.

usage: check_ocsf.py EVENTS...                 against the table below
       check_ocsf.py --schema DIR EVENTS...    against a checkout of the schema itself (ocsf-schema, tag 1.8.0)
       check_ocsf.py --schema DIR --compare    whether the table says the same as that checkout

Checked: attributes that a class or object demands, types, numbers that stand for words and the words beside them, the
constraints at_least_one and just_one, and that nothing stands there that the class, or a profile which the event names,
does not have. The table holds what this program writes, in words of our own; `--compare` is how it was checked.
Prints how many events were good; exit status 1 with a line for each that is not.
"""
import ipaddress
import json
import pathlib
import re
import sys

# Attributes: name:type, `!` demanded, `[]` a list, `@host` only with that profile.
BASE = """
activity_id:integer! activity_name:string category_uid:integer! category_name:string class_uid:integer! class_name:string
type_uid:long! type_name:string severity_id:integer! severity:string time:timestamp! message:string metadata:metadata!
status_id:integer status:string status_detail:string unmapped:object raw_data:string raw_data_hash:fingerprint
actor:actor@host device:device@host
"""
IAM = "actor:actor"
NETWORK = "src_endpoint:network_endpoint dst_endpoint:network_endpoint traffic:network_traffic"
ACTIVITIES = {
    1001: "Create Read Update Delete Rename", 1007: "Launch Terminate", 2004: "Create Update Close",
    3001: {1: "Create", 3: "Password Change"}, 3002: {1: "Logon", 2: "Logoff", 3: "Authentication Ticket", 6: "Preauth"},
    3003: {1: "Assign Privileges"}, 3004: "Create Read Update Delete", 3005: {1: "Assign Privileges", 2: "Revoke Privileges"},
    4001: "Open Close Reset Fail Refuse", 4007: "Open Close Reset Fail Refuse", 5019: {1: "Log"},
    6002: {3: "Start", 4: "Stop"}, 6003: "Create Read Update Delete",
}
CLASSES = {  # uid: name, attributes beside the base, constraints
    1001: ("file_activity", "actor:actor! device:device! file:file! file_result:file", {}),
    1007: ("process_activity", "actor:actor! device:device! process:process! exit_code:integer", {}),
    2004: ("detection_finding", "device:device finding_info:finding_info!", {}),
    3001: ("account_change", IAM + " user:user!", {}),
    3002: ("authentication", IAM + " user:user! service:service", {"at_least_one": "service dst_endpoint"}),
    3003: ("authorize_session", IAM + " user:user! session:session privileges:string[]",
           {"just_one": "group privileges"}),
    3004: ("entity_management", IAM + " entity:managed_entity!", {}),
    3005: ("user_access", IAM + " user:user! privileges:string[]!", {}),
    4001: ("network_activity", NETWORK, {"at_least_one": "dst_endpoint src_endpoint"}),
    4007: ("ssh_activity", NETWORK, {"at_least_one": "dst_endpoint src_endpoint"}),
    5019: ("device_config_state_change", "actor:actor device:device!", {}),
    6002: ("application_lifecycle", "app:product!", {}),
    6003: ("api_activity", "actor:actor! api:api! src_endpoint:network_endpoint! dst_endpoint:network_endpoint", {}),
}
ENDPOINT = "ip uid name hostname instance_uid interface_uid interface_name"
OBJECTS = {
    "actor": ("process:process user:user session:session",
              {"at_least_one": "process user invoked_by session app_name app_uid"}),
    "api": ("operation:string! request:request", {}),
    "device": ("name:string uid:string hostname:hostname ip:ip type:string type_id:integer!", {"at_least_one": ENDPOINT}),
    "file": ("name:string! path:string type:string type_id:integer!", {}),
    "finding_info": ("title:string desc:string uid:string!", {}),
    "fingerprint": ("algorithm:string algorithm_id:integer! value:string!", {}),
    "managed_entity": ("name:string uid:string", {"at_least_one": "name uid device group org policy user"}),
    "metadata": ("version:string! product:product! sequence:integer uid:string event_code:string log_name:string "
                 "correlation_uid:string tenant_uid:string original_time:string profiles:string[]", {}),
    "network_endpoint": ("name:string hostname:hostname ip:ip port:port",
                         {"at_least_one": "ip uid name hostname svc_name instance_uid interface_uid interface_name domain"}),
    "network_traffic": ("bytes_in:long bytes_out:long", {}),
    "process": ("name:string path:string cmd_line:string pid:integer uid:string working_directory:string "
                "parent_process:process", {"at_least_one": "pid uid cpid"}),
    "product": ("name:string vendor_name:string", {"at_least_one": "name uid"}),
    "request": ("uid:string!", {}),
    "service": ("name:string", {"at_least_one": "name uid"}),
    "session": ("uid:string", {}),
    "user": ("name:string uid:string", {"at_least_one": "account name uid"}),
}
STATUS = {0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
FINDING_STATUS = {0: "Unknown", 1: "New", 2: "In Progress", 3: "Suppressed", 4: "Resolved", 5: "Archived", 6: "Deleted", 99: "Other"}
SEVERITY = {0: "Unknown", 1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical", 6: "Fatal", 99: "Other"}
WORDS = {  # of numbers in objects, as far as this program writes them
    ("device", "type_id"): {0: "Unknown", 1: "Server", 2: "Desktop", 99: "Other"},
    ("file", "type_id"): {0: "Unknown", 1: "Regular File", 2: "Folder", 99: "Other"},
    ("fingerprint", "algorithm_id"): {0: "Unknown", 1: "MD5", 2: "SHA-1", 3: "SHA-256", 4: "SHA-512", 99: "Other"},
}
WORD_OF = {"activity_id": "activity_name", "severity_id": "severity", "status_id": "status", "type_id": "type",
           "algorithm_id": "algorithm"}
UNKNOWN = {0: "Unknown", 99: "Other"}


class Attribute:
    def __init__(self, kind, required=False, is_list=False, profile=None, words=None, sibling=None):
        self.kind, self.required, self.is_list, self.profile = kind, required, is_list, profile
        self.words, self.sibling = words, sibling


def read_attributes(text):
    found = {}
    for name, kind, rest in re.findall(r"(\w+):(\w+)(\S*)", text):
        profile = rest.partition("@")[2] or None
        found[name] = Attribute(kind, "!" in rest, "[]" in rest, profile)
    return found


def with_words(attributes, words):
    for name, known in words.items():
        if name in attributes:
            attributes[name].words, attributes[name].sibling = known, WORD_OF[name]
    return attributes


def lists(constraints):
    return {kind: sorted(names.split()) for kind, names in constraints.items()}


class Table:
    """What stands above."""
    def __init__(self):
        self.objects = {name: (with_words(read_attributes(text), {a: w for (o, a), w in WORDS.items() if o == name}),
                               lists(limits)) for name, (text, limits) in OBJECTS.items()}
        self.classes = {}
        for uid, (name, text, limits) in CLASSES.items():
            activities = ACTIVITIES[uid]
            if isinstance(activities, str):
                activities = dict(enumerate(activities.split(), 1))
            words = {"activity_id": {**UNKNOWN, **activities}, "severity_id": SEVERITY,
                     "status_id": FINDING_STATUS if uid == 2004 else STATUS}
            attributes = with_words({**read_attributes(BASE), **read_attributes(text)}, words)
            self.classes[uid] = (name, attributes, lists(limits))


class Checkout:
    """The schema's own files: what extends what, what is included, what a profile brings."""
    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        self.dictionary = self.load("dictionary.json")["attributes"]
        self.files = {}
        for kind in ("objects", "events"):
            for path in (self.root / kind).rglob("*.json"):
                self.files[kind, json.loads(path.read_text())["name"]] = json.loads(path.read_text())
        self.objects = Lazy(lambda name: self.flatten("objects", name))
        categories = {name: value["uid"] for name, value in self.load("categories.json")["attributes"].items()}
        self.classes = {}
        for (kind, name), value in self.files.items():
            if kind == "events" and "uid" in value:
                chain = self.chain("events", name)
                category = next((one["category"] for one in reversed(chain) if one.get("category", "other") != "other"), None)
                uid = categories.get(category, 0) * 1000 + value["uid"]
                self.classes[uid] = (name, *self.flatten("events", name))

    def load(self, path):
        return json.loads((self.root / path).read_text())

    def chain(self, kind, name):
        value = self.files[kind, name]
        parent = value.get("extends")
        return ([] if parent is None or (kind, parent) not in self.files else self.chain(kind, parent)) + [value]

    def flatten(self, kind, name):
        merged, limits = {}, {}
        for value in self.chain(kind, name):
            own = dict(value.get("attributes", {}))
            for path in own.pop("$include", []):
                included = self.load(path)
                for key, facts in included["attributes"].items():
                    merged[key] = {**merged.get(key, {}), **facts, "profile": included.get("name")}
            for key, facts in own.items():
                enum = {**merged.get(key, {}).get("enum", {}), **facts.get("enum", {})}
                merged[key] = {**merged.get(key, {}), **facts, **({"enum": enum} if enum else {})}
            limits = value.get("constraints", limits)
        return ({key: self.attribute(key, facts) for key, facts in merged.items()},
                {kind: sorted(names) for kind, names in limits.items()})

    def attribute(self, name, facts):
        known = self.dictionary[name]
        enum = {**known.get("enum", {}), **facts.get("enum", {})}
        by_class = name in ("class_uid", "category_uid", "type_uid")  # each class has its own: see check_event
        words = None
        if enum and known["type"] == "integer_t" and not by_class:
            words = {int(number): word.get("caption") for number, word in enum.items()}
        return Attribute(known["type"].removesuffix("_t"), facts.get("requirement") == "required", known.get("is_array", False),
                         facts.get("profile"), words, known.get("sibling"))


class Lazy(dict):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, key):
        self[key] = self.make(key)
        return self[key]


# What the schema's dictionary says of the types that are used here.
def is_of(kind, value):
    if kind in ("integer", "long", "timestamp", "port"):
        low, high = {"integer": (-2**31, 2**31 - 1), "port": (0, 65535)}.get(kind, (-2**63, 2**63 - 1))
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "object":
        return isinstance(value, dict)
    if kind == "json":
        return True
    if not isinstance(value, str):
        return False
    if kind == "ip":
        try:
            return bool(ipaddress.ip_address(value))
        except ValueError:
            return False
    return kind in ("string", "hostname", "username", "file_hash", "process_name", "file_name", "file_path", "url", "resource_uid")


def check(schema, value, attributes, limits, profiles, where):
    problems = []
    for name, facts in attributes.items():
        if facts.required and name not in value and (facts.profile is None or facts.profile in profiles):
            problems.append(f"{where}{name} is lacking")
    for name, one in value.items():
        facts = attributes.get(name)
        if facts is None:
            problems.append(f"{where}{name} is no attribute of it")
            continue
        if facts.profile and facts.profile not in profiles:
            problems.append(f"{where}{name} needs the profile {facts.profile}")
        if facts.is_list != isinstance(one, list):
            problems.append(f"{where}{name} is {'no' if facts.is_list else 'a'} list")
            continue
        for item in one if facts.is_list else [one]:
            problems += check_value(schema, item, facts, profiles, where + name)
        if facts.words is not None and not isinstance(one, list):
            word = facts.words.get(one)
            said = value.get(facts.sibling)
            if word is None:
                problems.append(f"{where}{name} is {one}, which means nothing")
            elif said is not None and one != 99 and said != word:
                problems.append(f"{where}{name} {one} means {word}, and {facts.sibling} says {said}")
    names = limits.get("at_least_one", [])
    if names and not any(value.get(one) not in (None, "", [], {}) for one in names):
        problems.append(f"{where or 'the event '}has none of {', '.join(names)}")
    if "just_one" in limits and sum(one in value for one in limits["just_one"]) != 1:
        problems.append(f"{where or 'the event '}must have one of {', '.join(limits['just_one'])}")
    return problems


def check_value(schema, value, facts, profiles, where):
    if is_of(facts.kind, value):
        return [f"{where} is empty"] if value == "" else []
    if isinstance(value, dict) and re.fullmatch(r"[a-z_]+", facts.kind):
        attributes, limits = schema.objects[facts.kind]
        return check(schema, value, attributes, limits, profiles, where + ".")
    return [f"{where} is no {facts.kind}: {json.dumps(value)[:80]}"]


def check_event(schema, event):
    known = schema.classes.get(event.get("class_uid"))
    if known is None:
        return [f"class_uid {event.get('class_uid')} is no class"]
    uid, profiles = event["class_uid"], event.get("metadata", {}).get("profiles", [])
    problems = check(schema, event, known[1], known[2], profiles, "")
    if event.get("category_uid") != uid // 1000:
        problems.append("category_uid does not fit the class")
    if event.get("type_uid") != uid * 100 + event.get("activity_id", 0):
        problems.append("type_uid does not fit class and activity")
    if event.get("metadata", {}).get("version") != "1.8.0":
        problems.append("metadata.version is not 1.8.0")
    return problems


def compare(table, checkout):
    problems = []

    def same(where, mine, theirs, my_limits, their_limits):
        if my_limits != their_limits:
            problems.append(f"{where}: constraints are {their_limits}")
        for name, facts in theirs.items():
            if facts.required and name not in mine and facts.profile is None:
                problems.append(f"{where}: {name} is demanded")
        for name, facts in mine.items():
            other = theirs.get(name)
            if other is None:
                problems.append(f"{where}: there is no {name}")
                continue
            for what in ("kind", "required", "is_list", "profile"):
                if getattr(facts, what) != getattr(other, what):
                    problems.append(f"{where}: {name}: {what} is {getattr(other, what)}")
            for number, word in (facts.words or {}).items():
                if (other.words or {}).get(number) != word:
                    problems.append(f"{where}: {name} {number} is {(other.words or {}).get(number)}")

    for name, (attributes, limits) in table.objects.items():
        same(name, attributes, checkout.objects[name][0], limits, checkout.objects[name][1])
    for uid, (name, attributes, limits) in table.classes.items():
        theirs = checkout.classes.get(uid)
        if theirs is None or theirs[0] != name:
            problems.append(f"{uid} is {theirs and theirs[0]}")
        else:
            same(name, attributes, theirs[1], limits, theirs[2])
    return problems


def main():
    arguments = sys.argv[1:]
    schema = Table()
    if arguments[:1] == ["--schema"]:
        schema = Checkout(arguments[1])
        arguments = arguments[2:]
        if arguments == ["--compare"]:
            problems = compare(Table(), schema)
            print("\n".join(problems) or "the table says what the schema says")
            sys.exit(1 if problems else 0)
    if not arguments:
        sys.exit(__doc__)
    good, bad, classes = 0, 0, set()
    for path in arguments:
        for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
            event = json.loads(line)
            problems = check_event(schema, event)
            classes.add(event.get("class_uid"))
            good, bad = good + (not problems), bad + bool(problems)
            for problem in problems:
                print(f"{path}:{number}: {event.get('class_uid')} {event.get('metadata', {}).get('event_code')}: {problem}")
    print(f"{good} good, {bad} bad, {len(classes)} classes")
    sys.exit(1 if bad or not good else 0)


main()
