// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Votes} from "./libraries/Votes.sol";
import {Jobs} from "./Jobs.sol";

/// @title Ballots: a round, unpacked for those who read or settle it; and what a job holds
abstract contract Ballots is Jobs {
    /// @dev Masks have one bit per place; `seats` and `votes` are by place.
    struct Ballot {
        uint256 number;
        Progress progress;
        uint256 committed;
        uint256 revealed;
        uint256 missing; // lanes that were MISSING, whatever the votes said
        uint32[] seats; // empty unless drawn
        bytes32[] votes; // zero unless revealed
        bytes32 result; // zero unless decided
    }

    function _ballotOf(Job storage job, uint8 number) internal view returns (Ballot memory ballot) {
        bool isPresent = number == job.round;
        Round memory round = isPresent
            ? Round(job.progress, job.missing, job.committed, job.seats, job.votes, job.word)
            : job.past[number];
        ballot.number = number;
        (ballot.progress, ballot.missing, ballot.committed) = (round.progress, round.missing, round.committed);
        if (round.progress == Progress.Decided) ballot.result = round.result;
        if (round.progress < Progress.Drawn) return ballot;
        uint256 size = Committee.sizeOf(job.committee, number);
        (ballot.seats, ballot.votes) = (new uint32[](size), new bytes32[](size));
        for (uint256 place; place < size; ++place) {
            ballot.seats[place] = _seatAt(job, number, round.seats, place);
            (bool isRevealed, bytes32 vote) = _voteAt(job, number, round.votes, place);
            ballot.votes[place] = vote;
            if (isRevealed) ballot.revealed |= 1 << place;
        }
    }

    /// @dev All money that came into a job and did not leave it yet (P1.4).
    function _heldFor(Job storage job, JobTerms calldata terms) internal view returns (uint256 held) {
        if (job.state == State.None || job.state == State.Settled) return 0;
        held = uint256(terms.committee) * terms.fee + terms.bond;
        if (job.state == State.Open) return held + uint256(terms.lanes) * terms.priceCap;
        uint256 lanes = job.lanes;
        held += lanes * terms.collateral + _valueOf(job);
        for (uint256 number = 2; number <= job.round; ++number) {
            held += job.appeals[number].bond;
        }
    }

    /// @dev V: the sum of the accepted bids.
    function _valueOf(Job storage job) internal view returns (uint256 value) {
        for (uint256 lane; lane < job.lanes; ++lane) {
            value += job.lane[lane].price;
        }
    }

    /// @dev The standing result word, and what silence made of it; zero before there is one.
    function _standing(Job storage job) internal view returns (bytes32 word) {
        if (job.state == State.Settled) {
            for (uint256 lane; lane < job.lanes; ++lane) {
                word = Votes.withLane(word, lane, uint32(job.lane[lane].price)); // see Lane
            }
        } else if (job.state == State.Scored) {
            uint8 deciding = _decidingRound(job);
            word = _overlaid(job, deciding != 0 ? _resultOf(job, deciding) : bytes32(0));
        }
    }
}
