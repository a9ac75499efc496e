// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {stdError} from "forge-std/StdError.sol";
import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice What readers are told of a job between its events.
contract ViewsTest is Base {
    function test_stageStart_isWhenThePresentStageBegan() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _assertBegan(id, 0, "no round yet");
        skip(7);
        _submit(id, 0, WORD);
        _assertBegan(id, vm.getBlockTimestamp(), "Committing");
        _pin(id);
        skip(11);
        _commitAll(id, _vote(950_000));
        _assertBegan(id, vm.getBlockTimestamp(), "Revealing");
        skip(13);
        _revealAll(id, _vote(950_000));
        uint256 scoredAt = vm.getBlockTimestamp();
        _assertBegan(id, scoredAt, "Scored");
        skip(17);
        vm.prank(requester);
        market.demand(terms, 0, 0);
        _assertBegan(id, scoredAt, "a demand displaces the end, not the beginning");
        skip(terms.releaseWindow);
        market.close(id);
        skip(terms.challengeWindow);
        market.settle(terms);
        _assertBegan(id, 0, "over");
        terms.salt = keccak256("another");
        id = _accept(terms);
        skip(terms.workWindow);
        market.close(id);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Unsubmitted));
        _assertBegan(id, 0, "nothing is left to wait for");
    }

    function test_getVote_isZeroBeyondTheCommittee_andBeforeTheReveal() public {
        bytes32 id = _drawn(_terms());
        _commitAll(id, _vote(950_000));
        _reveal(id, 1, _vote(950_000));
        assertEq(market.getVote(id, 1, 0), 0);
        assertEq(market.getVote(id, 1, 1), _vote(950_000));
        assertEq(market.getVote(id, 1, 3), 0);
        assertEq(market.getVote(id, 2, 0), 0);
    }

    /// @notice Votes are packed: the greatest value of every lane comes back whole at every place.
    function test_getVote_ofEveryPlaceOfABiggerRound_isWhole() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 vote = Votes.withLane(_vote(Votes.BAD), 1, Votes.BAD);
        bytes32 id = _scored(terms, vote);
        vm.prank(requester);
        market.appeal(terms, 0);
        _pin(id);
        _commitAll(id, vote);
        _revealAll(id, vote);
        for (uint256 place; place < 7; ++place) {
            assertEq(market.getVote(id, 2, place), vote);
        }
    }

    /// @notice A round's result is zero until it is decided, though its storage word holds the chain of commits till then.
    function test_getRound_isTheRoundsOwn_andItsResultZeroUntilDecided() public {
        bytes32 vote = _vote(950_000);
        bytes32 id = _drawn(_terms());
        RoundView memory none = market.getRound(id, 0);
        assertEq(none.size, 0);
        assertEq(none.seedBlock, 0);
        _commitAll(id, vote);
        _reveal(id, 0, vote);
        assertEq(market.getRound(id, 1).result, 0);
        _reveal(id, 1, vote);
        _reveal(id, 2, vote);
        assertEq(market.getRound(id, 1).result, vote);
        assertNotEq(market.getRound(id, 1).seedBlock, 0);
        vm.prank(requester);
        market.appeal(_told(id), 0);
        _pin(id);
        assertNotEq(market.getRound(id, 2).seed, 0);
        RoundView memory past = market.getRound(id, 1);
        assertEq(past.seedBlock, 0, "of the present round only");
        assertEq(past.seed, 0);
        assertEq(past.result, vote);
        assertEq(market.getJob(id).result, 0, "nothing stands while a round is asked again");
    }

    /// @notice P2.2: there are eight lanes, and no ninth. Where the price was lies the score once a job is settled.
    function test_getLane_hasNoPriceOnceItIsSettled_andNoNinthLane() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        (, uint96 price,) = market.getLane(id, 0);
        assertEq(price, PRICE);
        _settle(terms);
        (, price,) = market.getLane(id, 0);
        assertEq(price, 0);
        (address provider,,) = market.getLane(id, 7);
        assertEq(provider, address(0));
        vm.expectRevert(stdError.indexOOBError);
        market.getLane(id, 8);
    }

    /// @notice P7.2: whoever asks for a lane there is not is told of the job, and of nobody's work.
    function test_settledLane_ofALaneThereIsNot_isNobodys() public {
        bytes32 id = _accept(_termsOf(8));
        for (uint8 lane = 8; lane < 10; ++lane) {
            (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid) =
                market.settledLane(id, lane);
            assertEq(uint8(state), uint8(State.Running));
            assertEq(uint8(outcome), uint8(Outcome.None));
            assertEq(provider, address(0));
            assertEq(word, 0);
            assertEq(score, 0);
            assertFalse(paid);
        }
    }

    /// @notice P5.2: who is late still reads who was drawn.
    function test_committee_isToldWhenTheChainHasForgottenTheHash() public {
        bytes32 id = _drawn(_terms());
        uint32[] memory drawn = market.getRound(id, 1).seats;
        _roll(300);
        (bytes32 seed, uint32[] memory seats) = market.committee(id);
        assertEq(seed, 0);
        assertEq(abi.encode(seats), abi.encode(drawn));
    }

    function _assertBegan(bytes32 id, uint256 at, string memory stage) private view {
        assertEq(market.getJob(id).stageStart, at, stage);
    }
}
