"""`python -m ddgs_hub` is the command line, so `accelerate launch … -m ddgs_hub finetune …` works."""

from ddgs_hub.cli.main import main

if __name__ == "__main__":
    main()
