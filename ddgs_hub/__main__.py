"""`python -m ddgs_hub` is the command line, so `accelerate launch … -m ddgs_hub finetune …` works."""

from ddgs_hub.cli import main

if __name__ == "__main__":
    main()
