"""A staged folder to the Hub: one commit, one tag, and what went wrong in words without a token."""

import json
from pathlib import Path

from .. import artifacts
from .rules import masked


class NotSent(ValueError):
    """The Hub did not take it."""


def check_access(repo: str, repo_type: str) -> None:
    """Raise NotSent where it is clear already that the Hub will not take it: there is no token, it
    has expired, it may only read, or it is of somebody who may not write there."""
    from huggingface_hub import HfApi

    api = HfApi(library_name="neurofm")
    try:
        who = api.whoami()
    except Exception as problem:  # see `send`
        raise NotSent(_told(problem, repo)) from None
    role = who.get("auth", {}).get("accessToken", {}).get("role", "")
    owner = repo.split("/")[0]
    if role == "read":
        raise NotSent(f"{repo}: your token may not write there: it is one for reading; make one "
                      f"with write access")
    if role == "write" and owner not in (who["name"], *(each["name"] for each in
                                                        who.get("orgs", []))):
        raise NotSent(f"{repo}: your token may not write there: {who['name']} is not a member of "
                      f"{owner}")


def send(
    folder: Path, files: list[str], repo: str, repo_type: str, *, private: bool, tag: str
) -> str:
    """Make the repository if it is not there, and its `main` exactly these files; returns a
    line on what was sent. Files that the Hub has already are not sent again."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard

    api = HfApi(library_name="neurofm")
    try:
        who = api.whoami()["name"]
        RepoCard.load(folder / "README.md", repo_type=repo_type).validate(repo_type=repo_type)
        api.create_repo(repo, repo_type=repo_type, private=private or None, exist_ok=True)
        if private and not api.repo_info(repo, repo_type=repo_type).private:
            raise NotSent(f"{repo} is public already: making it private is done on its page, by "
                          f"whoever owns it; or publish without --private, or elsewhere")
        tags = [each.name for each in api.list_repo_refs(repo, repo_type=repo_type).tags]
        if tag in tags:
            raise NotSent(f"{repo} has a version {tag} already; choose another --revision")
        there = set(api.list_repo_files(repo, repo_type=repo_type)) - {".gitattributes"}
        adding = [CommitOperationAdd(name, str(folder / name)) for name in files]
        stale = [CommitOperationDelete(name) for name in sorted(there - set(files))]
        mark = artifacts.open_sealed(folder, _kind(folder)).fingerprint
        commit = api.create_commit(repo, [*adding, *stale], repo_type=repo_type,
                                   commit_message=f"neurofm {_kind(folder)} {mark}")
        name = tag or _next(tags)
        api.create_tag(repo, tag=name, revision=commit.oid, repo_type=repo_type)
    except NotSent:
        raise
    except Exception as problem:
        # Whatever the client's HTTP library raises. Not chained: a cause's text may hold a token.
        # Uploads fail as a RuntimeError of their cause.
        cause = problem.__cause__ if isinstance(problem, RuntimeError) else None
        raise NotSent(_told(cause or problem, repo)) from None
    return f"{repo} {name}: {len(files)} files by {who} ({commit.oid[:8]}), fingerprint {mark}"


def _kind(folder: Path) -> str:
    return json.loads((folder / artifacts.FILE_NAME).read_text())["kind"]


def _next(tags: list[str]) -> str:
    numbers = [int(name[1:]) for name in tags if name[:1] == "v" and name[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"


def _told(problem: BaseException, repo: str) -> str:
    """What to do about it."""
    status = getattr(getattr(problem, "response", None), "status_code", None)
    text = " ".join(masked(str(problem)).split())[:400]
    if "LocalTokenNotFound" in type(problem).__name__:
        return ("the Hub does not know who you are: there is no token here; log in with `hf auth "
                "login`, or set HF_TOKEN to a token that may write")
    if status == 401:
        why = ("your token has expired" if "expired" in f"{text} {problem.__cause__}".lower() else
               "your token is not valid, or was revoked")
        return (f"the Hub does not know who you are: {why}; make a new one that may write, and log "
                f"in with `hf auth login`, or set HF_TOKEN ({text})")
    if status == 403:
        return (f"{repo}: your token may not write there: make one with write access, and be a "
                f"member of {repo.split('/')[0]} ({text})")
    if status in (413, 507):
        return f"{repo}: the Hub has no room for it (storage of {repo.split('/')[0]}): {text}"
    if status == 404:
        return f"{repo}: the Hub does not find it, or does not show it to you: {text}"
    kind = type(problem).__name__
    return f"{repo}: the Hub did not take it ({kind}: {text}); run the same command again to go on"
