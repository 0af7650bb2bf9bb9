"""`make results`: pages and figures of results, the table and the picture of the README."""

from generate import results

if __name__ == "__main__":
    results.main()
