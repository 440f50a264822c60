"""Fills Redis and tells, a line an event, what becomes of it. Started by ./demo.

It asks each part itself: Redis for its memory, Prometheus for the alert, keepwell for its
journal (a stream of events), and reads what arrived at the stand-in for Slack and tickets.
"""

import argparse
import datetime
import json
import re
import socket
import sys
import threading
import time
import unicodedata
import urllib.request

WORDS = {
    "fill": ("{n} keys of users (user:*), then temporary keys ({keys}*) until it is nearly full", "{n} 个用户键（user:*），再写入临时键（{keys}*）直到内存将满"),
    "breach": ("Redis is above {above:.0f} %", "Redis 超过 {above:.0f} %"),
    "firing": ("Prometheus: RedisMemoryHigh fires", "Prometheus：RedisMemoryHigh 触发"),
    "incident.opened": ("keepwell: incident {incident} ({code})", "keepwell：事件 {incident}（{code}）"),
    "run.started": ("keepwell: the playbook runs", "keepwell：开始执行剧本"),
    "evicted": ("Redis is below {above:.0f} % again: keys are going", "Redis 回落到 {above:.0f} % 以下：正在清除键"),
    "slack": ("Slack {channel} reads:", "Slack {channel} 收到："),
    "ticket": ("a ticket was made: {title}", "已创建工单：{title}"),
    "no ticket": ("no ticket: {why}", "未创建工单：{why}"),
    "resolved": ("Prometheus: the alert is resolved", "Prometheus：告警已恢复"),
    "incident.resolved": ("keepwell: incident {incident} is resolved", "keepwell：事件 {incident} 已解决"),
    "run.ended": ("keepwell: the run has ended: {how}", "keepwell：执行结束：{how}"),
    "time": ("time", "时间"),
    "memory": ("memory of Redis", "Redis 内存"),
    "event": ("event", "发生了什么"),
    "stayed": ("{n} of {all} keys of users are still there", "{all} 个用户键中仍有 {n} 个"),
    "samples": ("memory of Redis, from 0 to 100 %, over {s:.0f} s", "{s:.0f} 秒内的 Redis 内存，0 到 100 %"),
    "journal": ("What keepwell wrote down (its journal):", "keepwell 的日志（journal）："),
    "missing": ("what should have happened and did not: {what}", "本应发生而没有发生：{what}"),
}

# What a demonstration that succeeds has in it.
MISSING = {
    "breach": ("Redis fills up", "Redis 内存写满"),
    "firing": ("the alert of Prometheus", "Prometheus 告警"),
    "incident.opened": ("an incident of keepwell", "keepwell 的事件"),
    "run.started": ("a run of the playbook", "剧本的执行"),
    "evicted": ("keys are removed", "清除键"),
    "slack": ("a message to Slack", "发往 Slack 的消息"),
    "ticket": ("a ticket, or a reason why there is none", "工单，或未建工单的原因"),
    "resolved": ("the end of the alert", "告警恢复"),
    "incident.resolved": ("the end of the incident", "事件解决"),
    "run.ended": ("the end of the run", "执行结束"),
}


class Redis:
    """As much of a client as this needs."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.sock.makefile("rb")

    def ask(self, *words):
        return self.ask_all([words])[0]

    def ask_all(self, commands):
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for w in words:
                w = w if isinstance(w, bytes) else str(w).encode()
                out += b"$%d\r\n%s\r\n" % (len(w), w)
        self.sock.sendall(out)
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError("Redis: " + rest.decode())
        return rest

    def share(self):
        info = dict(l.split(":", 1) for l in self.ask("INFO", "memory").decode().split("\r\n") if ":" in l)
        return int(info["used_memory"]) / int(info["maxmemory"])

    def count(self, pattern):
        cursor, n = b"0", 0
        while True:
            cursor, keys = self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            n += len(keys)
            if cursor == b"0":
                return n


def width(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text, columns):
    return text + " " * (columns - width(text))


def fitting(text, columns):
    """Cuts a text to so many columns."""
    out = ""
    for c in " ".join(text.split()):
        if width(out + c) > columns - 1:
            return out + "…"
        out += c
    return out


def reason(why):
    """What stands after "NAME: skipped:", in any language."""
    return re.split("[:：]", why, maxsplit=2)[-1].strip()


def bar(share, columns=16):
    full = max(0, min(columns, round(share * columns)))
    return "█" * full + "░" * (columns - full)


class Watch:
    def __init__(self, a):
        self.a, self.zh = a, a.lang == "zh"
        self.redis = Redis(a.redis)
        self.lock = threading.Lock()
        self.events, self.journal, self.samples = {}, [], []
        self.began = self.breach = None
        self.share = 0.0
        self.failed = False  # the run: nothing more will come

    def words(self, key, **values):
        return WORDS[key][self.zh].format(above=100 * self.a.above, keys=self.a.keys, **values)

    def tell(self, key, at=None, name=None, **values):
        """Writes one event, once."""
        with self.lock:
            name = name or key
            if name in self.events or (self.breach is None and key != "breach"):
                return
            at = at or time.time()
            self.events[name] = at
            if key == "breach":
                self.breach = at
            line = f"{at - self.breach:6.1f} s  {bar(self.share)} {self.share * 100:3.0f} %  "
            print(line + fitting(self.words(key, **values), 100 - width(line)), flush=True)

    def get(self, url, headers=None, timeout=5):
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=timeout)

    def follow_journal(self):
        """Reads keepwell's events as they come."""
        headers = {"Authorization": "Bearer " + self.a.token, "Accept-Language": self.a.lang}
        while True:
            try:
                after = self.journal[-1]["seq"] if self.journal else 0
                with self.get(f"{self.a.keepwell}/api/v1/events?after={after}", headers, 60) as stream:
                    for line in stream:
                        if line.startswith(b"data:"):
                            self.entry(json.loads(line[5:]))
            except (OSError, ValueError):
                time.sleep(0.1)

    def entry(self, e):
        self.journal.append(e)
        at, data = when(e["at"]), e.get("data") or {}
        if e["kind"] == "incident.opened":
            self.tell("incident.opened", at, incident=e["incident"], code=data.get("code", ""))
        elif e["kind"] == "run.started":
            self.tell("run.started", at)
        elif e["kind"] == "step.ended" and data.get("status") == "skipped":
            self.tell("no ticket", at, why=reason(e.get("why", "")))
        elif e["kind"] == "incident.resolved":
            self.tell("incident.resolved", at, incident=e["incident"])
        elif e["kind"] == "run.ended":
            self.tell("run.ended", at, how=e.get("why", ""))
            self.failed = data.get("state") != "done"

    def follow_prometheus(self):
        while True:
            try:
                with self.get(f"http://127.0.0.1:{self.a.prometheus}/api/v1/alerts") as r:
                    firing = any(x["state"] == "firing" and x["labels"]["alertname"] == "RedisMemoryHigh" for x in json.load(r)["data"]["alerts"])
                if firing:
                    self.tell("firing")
                elif "firing" in self.events:
                    self.tell("resolved")
            except (OSError, ValueError):
                pass
            time.sleep(0.1)

    def follow_catcher(self):
        with open(self.a.caught, encoding="utf-8") as f:
            while True:
                line = f.readline()
                if not line.endswith("\n"):
                    time.sleep(0.05)
                    continue
                path, _, body = line.partition(" ")
                body = json.loads(body)
                if "slack" in path:
                    self.tell("slack", channel=body.get("channel", ""))
                    for text in body.get("text", "").splitlines():
                        print(" " * 11 + "│ " + fitting(text, 85), flush=True)
                else:
                    self.tell("ticket", title=body.get("title", ""))

    def sample(self):
        self.share = self.redis.share()
        self.samples.append((time.time(), self.share))
        if self.share > self.a.above:
            self.tell("breach")
        elif self.breach:
            self.tell("evicted")

    def fill(self):
        users = [("SET", f"user:{i}", b"u" * 1000) for i in range(self.a.users)]
        self.redis.ask_all(users)
        print(self.words("fill", n=self.a.users) + "\n", flush=True)
        print(f"{pad(self.words('time'), 10)}{pad(self.words('memory'), 24)}{self.words('event')}", flush=True)
        self.sample()
        n = 0
        while self.share <= self.a.above + 0.03:
            self.redis.ask_all([("SET", f"{self.a.keys}{n + i}", b"t" * 4000) for i in range(200)])
            n += 200
            self.sample()

    def run(self):
        for follow in (self.follow_journal, self.follow_prometheus, self.follow_catcher):
            threading.Thread(target=follow, daemon=True).start()
        self.fill()
        wanted = [what for what in MISSING if what != "ticket"]
        end = time.time() + self.a.within
        while time.time() < end and not self.failed and not (set(wanted) <= set(self.events) and {"ticket", "no ticket"} & set(self.events)):
            self.sample()
            time.sleep(0.1)
        return self.conclude(wanted)

    def conclude(self, wanted):
        missing = [w for w in wanted if w not in self.events]
        if not {"ticket", "no ticket"} & set(self.events):
            missing.append("ticket")
        stayed = self.redis.count("user:*")
        start, over = self.samples[0][0], self.samples[-1][0] - self.samples[0][0]
        picture, columns = "", 64
        for i in range(columns):
            near = min(self.samples, key=lambda s: abs(s[0] - start - over * i / (columns - 1)))
            picture += "▁▂▃▄▅▆▇█"[min(7, int(near[1] * 8))]
        print(f"\n{picture}\n{self.words('samples', s=over)}")
        print(self.words("stayed", n=stayed, all=self.a.users))
        print("\n" + self.words("journal"))
        before = ""
        for e in list(self.journal):
            same, before = e.get("why", "") == before, e.get("why", "") if e["kind"] != "step.intended" else before
            if (e.get("incident") or e.get("run")) and e["kind"] != "step.intended" and not same:
                at = datetime.datetime.fromtimestamp(when(e["at"])).strftime("%H:%M:%S.%f")[:-5]
                head = f"{e['seq']:4} {at}  {e['kind']:18} "
                print(head + fitting(e.get("why", ""), 100 - len(head)))
        for what in missing:
            print(self.words("missing", what=MISSING[what][self.zh]), file=sys.stderr)
        return 0 if not missing and stayed == self.a.users else 1


def when(text):
    """Seconds since 1970 of a time with any number of digits."""
    whole, _, rest = text.rstrip("Z").partition(".")
    base = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc).timestamp()
    return base + (float("0." + rest) if rest else 0.0)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--redis", type=int, required=True)
    p.add_argument("--prometheus", type=int, required=True)
    p.add_argument("--keepwell", required=True)
    p.add_argument("--token", required=True)
    p.add_argument("--caught", required=True)
    p.add_argument("--above", type=float, default=0.9, help="the share of memory that the alert is about")
    p.add_argument("--keys", default="tmp:", help="how the keys begin that the playbook removes")
    p.add_argument("--lang", choices=["en", "zh"], default="en")
    p.add_argument("--users", type=int, default=500)
    p.add_argument("--within", type=int, default=60)
    return Watch(p.parse_args()).run()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
